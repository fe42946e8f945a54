//! A proxy in front of the gateway that is believed, and what it says of whom it asks for.

use tollgate::proxies::network;

use crate::world::{Setup, World};

const CLAIMS: &str = "X-Forwarded-For: 198.51.100.1, 203.0.113.9\r\nForwarded: for=198.51.100.2\r\nX-Real-IP: 198.51.100.3\r\n";

#[tokio::test]
async fn h3_a_trusted_proxy_says_for_whom_it_asks_in_the_log_and_nowhere_else() {
    for (trusted, client) in [("127.0.0.0/8", Some("203.0.113.9")), ("127.0.0.2", None)] {
        let mut setup = Setup::default();
        setup.capacity.proxies = [network(trusted).unwrap()].into_iter().collect();
        let world = World::with(setup).await;
        let head = world.head("GET", "/v3/self");
        let request = format!("{head}Connection: close\r\n{CLAIMS}\r\n");
        world.attack(request).await.only(200);
        let nobody =
            format!("GET /v3/self HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{CLAIMS}\r\n");
        world
            .attack(nobody)
            .await
            .refused(401, "credential-missing");
        let lines = world.lines().await;
        assert_eq!(lines.len(), 2);
        for line in lines {
            assert_eq!(line["client"].as_str(), client, "{line}");
            assert!(line["peer"].as_str().unwrap().starts_with("127.0.0.1:"));
        }
        let seen = world.upstream();
        assert_eq!(seen.len(), 1);
        let said = format!("{:?}", seen[0].headers).to_lowercase();
        assert!(
            !said.contains("forwarded") && !said.contains("203.0.113"),
            "{said}"
        );
        world.finish().await;
    }
}
