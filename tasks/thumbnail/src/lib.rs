//! Sample task: makes a small picture of the large one in the request body.

use bindings::exports::api::{Format, Guest, ThumbnailError};
use bindings::unblock::task::{body, progress};

mod bindings {
    #![allow(missing_docs, reason = "generated from the WIT, where the documentation is")]
    wit_bindgen::generate!({
        path: ["../../wit", "wit"],
        world: "unblock:thumbnail/thumbnail",
        generate_all,
    });
}
mod picture;

struct Thumbnail;

impl Guest for Thumbnail {
    fn thumbnail(
        width: u32,
        height: Option<u32>,
        format: Option<Format>,
        quality: Option<u8>,
    ) -> Result<(), ThumbnailError> {
        let wanted = picture::Wanted::new(width, height, format, quality)?;
        progress::report(0.0, "reading");
        let bytes = body::read_all();
        progress::report(0.1, "decoding");
        let picture = picture::decode(bytes)?;
        progress::report(0.6, "scaling");
        let picture = picture.scale(&wanted);
        progress::report(0.8, "encoding");
        let (media_type, bytes) = picture.encode(&wanted)?;
        body::set_content_type(media_type);
        body::write(&bytes);
        progress::report(1.0, "done");
        Ok(())
    }
}

bindings::export!(Thumbnail with_types_in bindings);
include!(concat!(env!("OUT_DIR"), "/docs.rs"));
