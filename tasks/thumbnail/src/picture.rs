//! From the bytes of a picture to the bytes of a smaller one. Knows nothing of the gateway.

use std::io::Cursor;

use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::error::{ImageError, ImageResult, LimitError, LimitErrorKind};
use image::imageops::FilterType;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageEncoder, ImageFormat, ImageReader, Limits, RgbImage};

use crate::{Format, ThumbnailError};

/// What a decoded picture may take: with what is needed beside it, the manifest's memory limit.
const MAX_DECODED: u64 = 160 << 20;
const DEFAULT_QUALITY: u8 = 80;

/// The thumbnail that the caller wants: its parameters, checked.
pub struct Wanted {
    width: u32,
    height: u32,
    format: Option<Format>,
    quality: u8,
}

impl Wanted {
    /// Checks the parameters of a call.
    pub fn new(
        width: u32,
        height: Option<u32>,
        format: Option<Format>,
        quality: Option<u8>,
    ) -> Result<Self, ThumbnailError> {
        let height = height.unwrap_or(u32::MAX);
        let quality = quality.unwrap_or(DEFAULT_QUALITY);
        let invalid = |text: String| Err(ThumbnailError::InvalidParameter(text));
        if width == 0 || height == 0 {
            return invalid("width and height must be at least 1".into());
        }
        if !(1..=100).contains(&quality) {
            return invalid(format!("quality is {quality}, but must be from 1 to 100"));
        }
        Ok(Self { width, height, format, quality })
    }
}

/// A decoded picture.
pub struct Picture {
    image: DynamicImage,
    format: Format,
    /// How the stored picture must be turned to be seen as it was taken.
    orientation: Orientation,
    /// What the numbers in the picture mean as colours.
    profile: Option<Vec<u8>>,
}

/// Decodes a PNG or JPEG picture, whatever it claims to be.
pub fn decode(bytes: Vec<u8>) -> Result<Picture, ThumbnailError> {
    if bytes.is_empty() {
        return Err(ThumbnailError::NotAPicture(
            "the request has no body: send the picture's bytes as the body".into(),
        ));
    }
    let mut reader = ImageReader::new(Cursor::new(bytes))
        .with_guessed_format()
        .map_err(|error| ThumbnailError::NotAPicture(error.to_string()))?;
    let format = match reader.format() {
        Some(ImageFormat::Png) => Format::Png,
        Some(ImageFormat::Jpeg) => Format::Jpeg,
        Some(other) => {
            let text = format!("a picture of type {other:?}; PNG and JPEG are understood");
            return Err(ThumbnailError::NotAPicture(text));
        }
        None => {
            let text = "the bytes are of no known type; PNG and JPEG are understood";
            return Err(ThumbnailError::NotAPicture(text.into()));
        }
    };
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_DECODED);
    reader.limits(limits);
    read(reader, format).map_err(|error| match error {
        ImageError::Limits(_) => ThumbnailError::TooLarge(format!(
            "decoded, the picture would take more than {} MiB",
            MAX_DECODED >> 20
        )),
        other => ThumbnailError::NotAPicture(other.to_string()),
    })
}

fn read(reader: ImageReader<Cursor<Vec<u8>>>, format: Format) -> ImageResult<Picture> {
    let mut decoder = reader.into_decoder()?;
    if decoder.total_bytes() > MAX_DECODED {
        return Err(ImageError::Limits(LimitError::from_kind(LimitErrorKind::InsufficientMemory)));
    }
    // Neither of the two is worth a refusal if it is broken.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let profile = decoder.icc_profile().unwrap_or_default();
    let image = DynamicImage::from_decoder(decoder)?;
    Ok(Picture { image, format, orientation, profile })
}

impl Picture {
    /// Makes the picture fit, and turns it the right way up.
    pub fn scale(mut self, wanted: &Wanted) -> Self {
        use Orientation::{Rotate90, Rotate90FlipH, Rotate270, Rotate270FlipH};
        // Turning what is small already is cheaper, so the box is turned first.
        let (width, height) = match self.orientation {
            Rotate90 | Rotate270 | Rotate90FlipH | Rotate270FlipH => (wanted.height, wanted.width),
            _ => (wanted.width, wanted.height),
        };
        if self.image.width() > width || self.image.height() > height {
            let (width, height) = (width.min(self.image.width()), height.min(self.image.height()));
            // Far too large a picture is brought near its size by the cheap way first.
            let (rough, enough) = (width.saturating_mul(3), height.saturating_mul(3));
            if self.image.width() > rough && self.image.height() > enough {
                self.image = self.image.thumbnail(rough, enough);
            }
            self.image = self.image.resize(width, height, FilterType::CatmullRom);
        }
        self.image.apply_orientation(self.orientation);
        self
    }

    /// The media type and the bytes of the picture in the wanted format.
    pub fn encode(self, wanted: &Wanted) -> Result<(&'static str, Vec<u8>), ThumbnailError> {
        let mut bytes = Vec::new();
        let format = wanted.format.unwrap_or(self.format);
        let (media_type, result) = match format {
            Format::Png => ("image/png", self.write(PngEncoder::new(&mut bytes))),
            Format::Jpeg => {
                let encoder = JpegEncoder::new_with_quality(&mut bytes, wanted.quality);
                ("image/jpeg", self.opaque().write(encoder))
            }
        };
        result.map_err(|error| ThumbnailError::Failed(error.to_string()))?;
        Ok((media_type, bytes))
    }

    fn write(&self, mut encoder: impl ImageEncoder) -> ImageResult<()> {
        // A profile speaks of one kind of colours, named in its header.
        let kind: &[u8] = if self.image.color().has_color() { b"RGB " } else { b"GRAY" };
        let profile = self.profile.as_ref().filter(|profile| profile.get(16..20) == Some(kind));
        if let Some(profile) = profile {
            // An encoder that cannot store it makes a good picture without.
            let _ = encoder.set_icc_profile(profile.clone());
        }
        self.image.write_with_encoder(encoder)
    }

    /// The picture as JPEG can have it: 8 bits a channel, and white where it is transparent.
    fn opaque(mut self) -> Self {
        self.image = match self.image {
            gray @ DynamicImage::ImageLuma8(_) => gray,
            clear if clear.color().has_alpha() => {
                let clear = clear.into_rgba8();
                let mut solid = RgbImage::new(clear.width(), clear.height());
                for (to, from) in solid.pixels_mut().zip(clear.pixels()) {
                    let [red, green, blue, alpha] = from.0;
                    let over_white = |channel: u8| {
                        let sum = u32::from(channel) * u32::from(alpha) + 255 * (255 - u32::from(alpha));
                        u8::try_from((sum + 127) / 255).unwrap_or(u8::MAX)
                    };
                    to.0 = [red, green, blue].map(over_white);
                }
                solid.into()
            }
            solid => solid.into_rgb8().into(),
        };
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{GenericImageView, Rgba, RgbaImage};

    type Outcome = Result<(), ThumbnailError>;

    fn wanted(width: u32, height: Option<u32>, format: Option<Format>) -> Result<Wanted, ThumbnailError> {
        Wanted::new(width, height, format, None)
    }

    /// A picture of so many pixels whose left half is red and whose right half is clear.
    fn sample(width: u32, height: u32, format: ImageFormat) -> Vec<u8> {
        let image = RgbaImage::from_fn(width, height, |x, _| match x < width / 2 {
            true => Rgba([255, 0, 0, 255]),
            false => Rgba([0, 0, 0, 0]),
        });
        let image = DynamicImage::from(image);
        let image = if format == ImageFormat::Jpeg { image.into_rgb8().into() } else { image };
        let mut bytes = Cursor::new(Vec::new());
        let written = image.write_to(&mut bytes, format);
        assert!(written.is_ok(), "{written:?}");
        bytes.into_inner()
    }

    fn thumbnail(bytes: Vec<u8>, wanted: &Wanted) -> Result<(&'static str, DynamicImage), ThumbnailError> {
        let (media_type, bytes) = decode(bytes)?.scale(wanted).encode(wanted)?;
        let image = image::load_from_memory(&bytes);
        Ok((media_type, image.map_err(|error| ThumbnailError::Failed(error.to_string()))?))
    }

    /// The bytes of a JPEG with the EXIF orientation set.
    fn oriented(mut jpeg: Vec<u8>, orientation: u8) -> Vec<u8> {
        let mut segment = b"\xff\xe1\x00\x22Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec();
        segment.extend([orientation, 0, 0, 0, 0, 0, 0, 0]);
        jpeg.splice(2..2, segment);
        jpeg
    }

    #[test]
    fn fits_in_the_box_and_keeps_the_aspect_ratio() -> Outcome {
        for (width, height, expected) in [
            (100, None, (100, 50)),
            (100, Some(20), (40, 20)),
            (5000, None, (800, 400)), // never larger
            (799, Some(5000), (799, 400)),
            (1, None, (1, 1)),
        ] {
            let (_, image) = thumbnail(sample(800, 400, ImageFormat::Png), &wanted(width, height, None)?)?;
            assert_eq!(image.dimensions(), expected, "{width} x {height:?}");
        }
        Ok(())
    }

    #[test]
    fn the_format_is_the_pictures_own_unless_asked_otherwise() -> Outcome {
        let [png, jpeg] = [ImageFormat::Png, ImageFormat::Jpeg].map(|format| sample(64, 64, format));
        assert_eq!(thumbnail(png.clone(), &wanted(16, None, None)?)?.0, "image/png");
        assert_eq!(thumbnail(jpeg.clone(), &wanted(16, None, None)?)?.0, "image/jpeg");
        assert_eq!(thumbnail(jpeg, &wanted(16, None, Some(Format::Png))?)?.0, "image/png");
        let (media_type, image) = thumbnail(png, &wanted(16, None, Some(Format::Jpeg))?)?;
        assert_eq!(media_type, "image/jpeg");
        let clear = image.get_pixel(14, 8).0;
        assert!(clear.iter().all(|&channel| channel > 240), "clear becomes white: {clear:?}");
        Ok(())
    }

    #[test]
    fn the_camera_says_what_is_up() -> Outcome {
        let picture = oriented(sample(80, 40, ImageFormat::Jpeg), 6);
        let (_, image) = thumbnail(picture, &wanted(20, None, None)?)?;
        assert_eq!(image.dimensions(), (20, 40), "turned by a quarter");
        let top = image.get_pixel(10, 4).0;
        assert!(top[0] > 200 && top[1] < 50, "the left edge is on top now: {top:?}");
        Ok(())
    }

    #[test]
    fn what_is_no_picture_is_refused() {
        let truncated = sample(64, 64, ImageFormat::Png).into_iter().take(60).collect();
        for bytes in [vec![], b"hello".to_vec(), b"GIF89a".to_vec(), truncated] {
            let result = decode(bytes).map(drop);
            assert!(matches!(result, Err(ThumbnailError::NotAPicture(_))), "{result:?}");
        }
    }

    #[test]
    fn a_decompression_bomb_is_refused_before_it_is_decoded() {
        let mut png = sample(1, 1, ImageFormat::Png);
        png.splice(16..24, [0, 0, 0x75, 0x30, 0, 0, 0x75, 0x30]); // 30000 x 30000
        let checksum = crc32(png.get(12..29).unwrap_or_default());
        png.splice(29..33, checksum.to_be_bytes());
        let result = decode(png).map(drop);
        assert!(matches!(result, Err(ThumbnailError::TooLarge(_))), "{result:?}");
    }

    #[test]
    fn parameters_out_of_range_are_refused() {
        for (width, height, quality) in [(0, None, 80), (1, Some(0), 80), (1, None, 0), (1, None, 101)] {
            let result = Wanted::new(width, height, None, Some(quality)).map(drop);
            assert!(matches!(result, Err(ThumbnailError::InvalidParameter(_))), "{result:?}");
        }
    }

    /// The checksum of a PNG chunk.
    fn crc32(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(u32::MAX, |sum, &byte| {
            (0..8).fold(sum ^ u32::from(byte), |sum, _| (sum >> 1) ^ (0xedb8_8320 & (sum & 1).wrapping_neg()))
        })
    }
}
