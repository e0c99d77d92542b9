//! Several who write at once.

use super::*;
use std::thread;

#[test]
fn etags_leave_no_update_lost() {
    const WRITERS: usize = 4;
    const EACH: usize = 12;
    let world = World::furnished();
    let path = net("virtualNetworks/v");
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (world, path) = (&world, &path);
            scope.spawn(move || {
                for turn in 0..EACH {
                    // Read, change and write until nobody came in between.
                    loop {
                        let read = world.owner("GET", path, None);
                        let mut whole = read.value();
                        whole["tags"][format!("t{writer}-{turn}")] = json!("x");
                        let request = request("PUT", path, Some(whole))
                            .with_header("If-Match", read.header("etag").unwrap())
                            .with_header(
                                "Authorization",
                                &format!("Bearer {}", world.token("owner")),
                            );
                        let answer = world.api.handle(&request);
                        match answer.status {
                            200 => break,
                            412 => assert_eq!(code(&answer), "PreconditionFailed"),
                            status => panic!("{status} {}", answer.value()),
                        }
                    }
                }
            });
        }
    });
    let tags = world.owner("GET", &path, None).value()["tags"]
        .as_object()
        .unwrap()
        .len();
    assert_eq!(tags, WRITERS * EACH);
}

#[test]
fn conditions_are_held() {
    let world = World::furnished();
    let path = net("networkSecurityGroups/n");
    let send = |method: &str, name: &str, value: &str| {
        let request = request(method, &path, Some(json!({ "location": "koreacentral" })))
            .with_header(name, value)
            .with_header("Authorization", &format!("Bearer {}", world.token("owner")));
        world.api.handle(&request).status
    };
    assert_eq!(send("PUT", "If-Match", "*"), 412, "there is none yet");
    assert_eq!(send("PUT", "If-None-Match", "*"), 201);
    assert_eq!(send("PUT", "If-None-Match", "*"), 412, "there is one");
    assert_eq!(send("PUT", "If-Match", "*"), 200);
    assert_eq!(send("DELETE", "If-Match", "W/\"old\""), 412);
    assert_eq!(send("PATCH", "If-Match", "W/\"old\""), 412);
    assert_eq!(send("DELETE", "If-Match", "*"), 200);
}

#[test]
fn readers_see_whole_changes_only() {
    let world = World::furnished();
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for turn in 0..50 {
                let tags = json!({ "a": turn.to_string(), "b": turn.to_string() });
                assert_eq!(
                    world
                        .owner(
                            "PATCH",
                            &net("virtualNetworks/v"),
                            Some(json!({ "tags": tags }))
                        )
                        .status,
                    200
                );
            }
        });
        while !writer.is_finished() {
            let tags = world.owner("GET", &net("virtualNetworks/v"), None).value()["tags"].clone();
            assert_eq!(tags["a"], tags["b"]);
        }
    });
}
