use super::*;

#[test]
fn silence_passes_on_and_flapping_does_not_put_it_off_for_ever() {
    let start = Instant::now();
    let after = |millis| start + Duration::from_millis(millis);
    assert!(
        settle(None, Effect::None, start).is_none(),
        "nothing told, nothing to pass on"
    );
    let mut settling = settle(None, Effect::Changed, start);
    assert_eq!(settling.unwrap().due, after(50));
    for millis in (40..=280).step_by(40) {
        settling = settle(settling, Effect::Changed, after(millis));
        assert_eq!(settling.unwrap().due, after((millis + 50).min(300)));
    }
}

#[test]
fn a_doubt_stays_until_the_table_is_read() {
    let now = Instant::now();
    let settling = settle(None, Effect::Unclear, now);
    let settling = settle(settling, Effect::Changed, now);
    assert!(settling.unwrap().is_unclear);
    let settling = settle(settling, Effect::None, now);
    assert!(settling.unwrap().is_unclear);
    assert!(!settle(None, Effect::Changed, now).unwrap().is_unclear);
}
