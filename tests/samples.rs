//! The sample tasks as `just build-tasks` leaves them: real work, through the whole gateway.
//!
//! They must have been built before. Their compiled code is kept between test runs, as a gateway
//! keeps it between starts; the first run compiles it.

use crate::support::{Gateway, Server, client};
use serde_json::{Value, json};

fn serve(name: &str) -> Server {
    let cache = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled-samples");
    Gateway::new().sample(name).set(|config| config.engine.cache = Some(cache)).start()
}

#[tokio::test]
async fn primes_below_ten_million_are_counted() {
    let server = serve("primes");
    assert_eq!(server.get("/tasks/primes/count?n=10000000").await.ok(), "664579");
    for (n, count) in [("0", "0"), ("2", "0"), ("3", "1"), ("-5", "0"), ("100", "25")] {
        assert_eq!(server.get(&format!("/tasks/primes/count?n={n}")).await.ok(), count, "{n}");
    }
}

#[tokio::test]
async fn sleep_answers_as_in_the_article() {
    let server = serve("sleep");
    let awake = server.get("/sleep/0").await.ok();
    let seconds: u64 = awake.strip_prefix("Awake! ").unwrap().parse().unwrap();
    assert!(seconds > 1_700_000_000, "{awake}");
    let begun = std::time::Instant::now();
    assert!(server.post("/tasks/sleep", r#"{"seconds": 0.05}"#).await.ok().starts_with("Awake! "));
    assert!(begun.elapsed().as_millis() >= 50);
    server.get("/sleep/-1").await.problem(422, "task-error");
    assert_eq!(server.get("/sleep/long").await.problem(400, "bad-arguments")["pointer"], "/seconds");
    let described = server.get("/tasks/sleep").await.json();
    let description = described["functions"][0]["description"].as_str().unwrap();
    assert!(description.contains("Sleeps for so many seconds"), "the doc comment of its WIT: {description}");
}

#[tokio::test]
async fn a_password_is_hashed_and_verified() {
    let server = serve("password");
    let cost = json!({"memory-kib": 64, "iterations": 1, "parallelism": 1});
    let hash = async |password: &str, cost: &Value| {
        server.post("/tasks/password/hash", &json!({"password": password, "cost": cost}).to_string()).await
    };
    let first = hash("correct horse", &cost).await.ok();
    assert!(first.starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{first}");
    assert_ne!(first, hash("correct horse", &cost).await.ok(), "the salt is random");
    for (password, right) in [("correct horse", "true"), ("correct hors", "false")] {
        let arguments = json!({"password": password, "hash": first}).to_string();
        assert_eq!(server.post("/tasks/password/verify", &arguments).await.ok(), right, "{password}");
    }
    let problem = hash("x", &json!({"memory-kib": 1, "iterations": 1, "parallelism": 1}))
        .await
        .problem(422, "task-error");
    assert_eq!(problem["value"]["tag"], "invalid-cost", "{problem:#}");
    let arguments = json!({"password": "x", "hash": "$nonsense"}).to_string();
    let problem = server.post("/tasks/password/verify", &arguments).await.problem(422, "task-error");
    assert_eq!(problem["value"]["tag"], "invalid-hash", "{problem:#}");
    let problem = hash("x", &json!({"memory-kib": "much"})).await.problem(400, "bad-arguments");
    assert_eq!(problem["pointer"], "/cost/memory-kib", "{problem:#}");
}

#[tokio::test]
async fn a_template_is_rendered_and_its_mistakes_are_named_by_line_and_column() {
    let server = serve("render");
    let render = async |template: &str, data: &Value| {
        let arguments = json!({"template": template, "data": data.to_string()}).to_string();
        server.post("/tasks/render/render", &arguments).await
    };
    let list = "{% for name in names %}{{ loop.index }}. {{ name | upper }}\n{% endfor %}";
    assert_eq!(
        render(list, &json!({"names": ["ada", "j\u{fc}rgen"]})).await.ok(),
        "1. ADA\n2. J\u{dc}RGEN\n"
    );
    let problem = render("fine\n{{ broken", &json!({})).await.problem(422, "task-error");
    assert_eq!(problem["value"]["line"], 2, "{problem:#}");
    assert!(problem["value"]["column"].as_u64().unwrap() >= 1, "{problem:#}");
    assert!(!problem["value"]["message"].as_str().unwrap().is_empty(), "{problem:#}");
    let problem = render("{{ a }}", &json!([1])).await.problem(422, "task-error");
    assert_eq!(problem["value"]["line"], Value::Null, "the template is not to blame: {problem:#}");
}

#[tokio::test]
async fn a_picture_becomes_a_smaller_one() {
    let server = serve("thumbnail");
    let picture = png(400, 200);
    let make = async |query: &str| {
        let request = client().post(server.url(&format!("/tasks/thumbnail?{query}")));
        server.send(request.header("content-type", "image/png").body(picture.clone())).await
    };
    let small = make("width=100").await;
    assert_eq!((small.status, small.header("content-type")), (200, Some("image/png")), "{}", small.text());
    assert_eq!(png_size(&small.body), (100, 50));
    assert_eq!(png_size(&make("width=100&height=10").await.body), (20, 10));
    assert_eq!(png_size(&make("width=1000").await.body), (400, 200), "a picture is never enlarged");
    let jpeg = make("width=64&format=jpeg&quality=50").await;
    assert_eq!(jpeg.header("content-type"), Some("image/jpeg"));
    assert!(jpeg.body.starts_with(&[0xff, 0xd8, 0xff]) && jpeg.body.ends_with(&[0xff, 0xd9]), "a whole JPEG");
    let form = reqwest::multipart::Form::new()
        .text("width", "50")
        .part("picture", reqwest::multipart::Part::bytes(picture.clone()).file_name("a.png"));
    let small = server.send(client().post(server.url("/tasks/thumbnail/thumbnail")).multipart(form)).await;
    assert_eq!(png_size(&small.body), (50, 25));
    assert_eq!(make("width=0").await.problem(422, "task-error")["value"]["tag"], "invalid-parameter");
    assert_eq!(make("width=9&format=gif").await.problem(400, "bad-arguments")["pointer"], "/format");
    let text = client().post(server.url("/tasks/thumbnail?width=9")).body("no picture");
    assert_eq!(server.send(text).await.problem(422, "task-error")["value"]["tag"], "not-a-picture");
}

/// Width and height from a PNG's header.
fn png_size(bytes: &[u8]) -> (u32, u32) {
    assert!(bytes.starts_with(b"\x89PNG\r\n\x1a\n"), "a PNG: {}", String::from_utf8_lossy(bytes));
    let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    (number(16), number(20))
}

/// A PNG with a colour gradient, uncompressed inside.
fn png(width: u32, height: u32) -> Vec<u8> {
    let mut rows = Vec::new();
    for y in 0..height {
        rows.push(0); // no filter
        rows.extend((0..width).flat_map(|x| [(x * 255 / width) as u8, (y * 255 / height) as u8, 128]));
    }
    let mut data = vec![0x78, 0x01];
    let mut blocks = rows.chunks(0xffff).peekable();
    while let Some(block) = blocks.next() {
        let length = u16::try_from(block.len()).unwrap();
        data.push(u8::from(blocks.peek().is_none()));
        data.extend(length.to_le_bytes());
        data.extend((!length).to_le_bytes());
        data.extend(block);
    }
    let (mut a, mut b) = (1_u32, 0_u32);
    for byte in &rows {
        a = (a + u32::from(*byte)) % 65_521;
        b = (b + a) % 65_521;
    }
    data.extend((b << 16 | a).to_be_bytes());
    let mut header = [width.to_be_bytes(), height.to_be_bytes()].concat();
    header.extend([8, 2, 0, 0, 0]); // 8 bits, RGB
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    for (name, content) in [(b"IHDR", &header), (b"IDAT", &data), (b"IEND", &Vec::new())] {
        file.extend(u32::try_from(content.len()).unwrap().to_be_bytes());
        let chunk = [name.as_slice(), content].concat();
        file.extend(&chunk);
        file.extend(crc32(&chunk).to_be_bytes());
    }
    file
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(
            crc ^ u32::from(*byte),
            |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 },
        )
    })
}
