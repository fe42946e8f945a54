//! Attachments: multipart upload, download by a redirect to a short-lived link that works without a
//! token (Devin's API reference, attachments).

use bytes::Bytes;
use http::StatusCode;
use http::header::LOCATION;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::answer::{Answer, Reply};
use super::call::Call;
use super::clock::Moment;
use super::ids;
use super::problem::{Problem, invalid_at};
use super::state::World;

/// Where the links without a token lead.
pub(super) const SIGNED: &str = "/signed/";

/// Fake seconds that such a link works.
const LINK_LIFE: f64 = 60.0;

/// An uploaded file.
#[derive(Debug)]
pub(super) struct Attachment {
    id: String,
    org: String,
    name: String,
    media_type: String,
    content: Bytes,
}

/// A link that was handed out.
#[derive(Debug)]
pub(super) struct Link {
    signature: String,
    attachment: String,
    until: Moment,
}

/// `POST …/attachments`
pub(super) fn upload(world: &mut World, call: &Call) -> Reply {
    let org = world.organization(call)?.id.clone();
    let Some(file) = &call.upload else {
        let error = invalid_at(&["body", "file"], "Field required", "missing");
        return Err(Problem::invalid(vec![error]));
    };
    let id = ids::fresh("");
    let url = format!(
        "{}/v3/organizations/{org}/attachments/{id}/{}",
        call.base,
        encode(&file.name)
    );
    let media_type = file
        .media_type
        .as_deref()
        .unwrap_or("application/octet-stream");
    world.attachments.push(Attachment {
        id: id.clone(),
        org: org.clone(),
        name: file.name.clone(),
        media_type: media_type.to_owned(),
        content: file.content.clone(),
    });
    let data = json!({ "attachment_id": id, "name": file.name });
    world.log(call.now, "upload_attachment", Some(&org), data);
    Ok(Answer::ok(
        &json!({ "attachment_id": id, "name": file.name, "url": url }),
    ))
}

/// `GET …/attachments/{uuid}/{name}`
pub(super) fn download(world: &mut World, call: &Call) -> Reply {
    let org = &world.organization(call)?.id;
    let (id, name) = (call.param("uuid"), call.param("name"));
    let mut attachments = world.attachments.iter();
    let attachment = attachments
        .find(|known| known.id == id && &known.org == org && known.name == name)
        .ok_or_else(|| Problem::not_found("Attachment"))?;
    let signature = ids::fresh("");
    let location = format!(
        "{}{SIGNED}{signature}/{}",
        call.base,
        encode(&attachment.name)
    );
    let link = Link {
        signature,
        attachment: attachment.id.clone(),
        until: call.now + LINK_LIFE,
    };
    world.links.retain(|link| call.now < link.until);
    world.links.push(link);
    Ok(Answer::empty(StatusCode::TEMPORARY_REDIRECT).with_header(&LOCATION, &location))
}

/// `GET /signed/{signature}/{name}`
pub(super) fn open_link(world: &World, rest: &str, now: Moment) -> Reply {
    let (signature, _) = rest.split_once('/').unwrap_or((rest, ""));
    let mut links = world.links.iter();
    let refuse = || Problem::new(StatusCode::FORBIDDEN, "Signature is invalid or has expired");
    let link = links
        .find(|link| link.signature == signature && now < link.until)
        .ok_or_else(refuse)?;
    let mut attachments = world.attachments.iter();
    let attachment = attachments
        .find(|known| known.id == link.attachment)
        .ok_or_else(refuse)?;
    let content = attachment.content.clone();
    Ok(Answer::new(StatusCode::OK, &attachment.media_type, content))
}

/// `GET …/sessions/{devin_id}/attachments`: a bare array of what the session was given.
pub(super) fn of_session(world: &mut World, call: &Call) -> Reply {
    let session = world.session_for(call)?;
    let urls = session.wishes.attachments.iter();
    let items: Vec<Value> = urls
        .enumerate()
        .map(|(number, url)| {
            let known = world
                .attachments
                .iter()
                .find(|known| url.contains(&known.id));
            let last = url.rsplit('/').next().unwrap_or_default();
            json!({
                "attachment_id": known.map_or_else(
                    || format!("{}-{number}", session.id),
                    |known| known.id.clone(),
                ),
                "name": known.map_or(last, |known| &known.name),
                "source": "user",
                "url": url,
                "content_type": known.map(|known| &known.media_type),
            })
        })
        .collect();
    Ok(Answer::ok(&Value::Array(items)))
}

fn encode(name: &str) -> String {
    utf8_percent_encode(name, NON_ALPHANUMERIC)
        .to_string()
        .replace("%2E", ".")
}
