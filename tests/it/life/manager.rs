//! What a service manager is told, over the socket that `NOTIFY_SOCKET` names.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use super::Site;
use crate::process::{CONFIG, serve_with, tollgate};

struct Manager(UnixDatagram);

impl Manager {
    /// The next message, as its lines.
    fn hears(&self) -> Vec<String> {
        let mut buffer = [0; 1_024];
        let length = self.0.recv(&mut buffer).unwrap();
        let text = std::str::from_utf8(&buffer[..length]).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    /// The next one that is about something else than being alive.
    fn hears_news(&self) -> Vec<String> {
        loop {
            let heard = self.hears();
            if heard != ["WATCHDOG=1"] {
                return heard;
            }
        }
    }
}

#[test]
fn a11_a_service_manager_hears_of_the_start_reloads_and_the_end() {
    let site = Site::new(&format!("{CONFIG}limits: {{ times: {{ drain: 7s }} }}\n"));
    let socket = site.path().join("notify.sock");
    let manager = Manager(UnixDatagram::bind(&socket).unwrap());
    let patience = Duration::from_secs(60);
    manager.0.set_read_timeout(Some(patience)).unwrap();
    let mut command = tollgate();
    command
        .arg("serve")
        .env("DEVIN_SERVICE_USER_TOKEN", "canary-token-value")
        .env("NOTIFY_SOCKET", &socket)
        .env("WATCHDOG_USEC", "400000");
    let gateway = serve_with(command, site.path());
    assert_eq!(manager.hears(), ["READY=1"]);
    assert_eq!(manager.hears(), ["WATCHDOG=1"]);
    gateway.signal("HUP");
    let reloading = manager.hears_news();
    assert_eq!(reloading[0], "RELOADING=1");
    assert!(reloading[1].starts_with("MONOTONIC_USEC="), "{reloading:?}");
    assert_eq!(manager.hears_news(), ["READY=1"]);
    gateway.stop();
    assert_eq!(
        manager.hears_news(),
        ["STOPPING=1", "EXTEND_TIMEOUT_USEC=7000000"]
    );
}

#[test]
fn a11_sockets_that_were_passed_and_that_nothing_names_stop_the_start() {
    // One that is told of, and is none: this process passes nothing.
    let site = Site::new(CONFIG);
    let output = tollgate()
        .arg("serve")
        .env("DEVIN_SERVICE_USER_TOKEN", "canary-token-value")
        .env("LISTEN_FDS", "1")
        .current_dir(site.path())
        .output()
        .unwrap();
    let said = crate::process::text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("the socket number 0 that was passed"),
        "{said}"
    );
}
