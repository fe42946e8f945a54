//! What is added up from the file: what an account has, and what was used on a day.

use super::*;

#[tokio::test]
async fn l9_m16_a_team_of_many_is_added_up_without_its_neighbours() {
    let folder = tempfile::tempdir().unwrap();
    let options = options_in(&folder);
    let team = budget("t/month", Some("t"), Per::Team, 1_000);
    let everyone = budget("month", None, Per::Everyone, 1_000);
    let ledger = opened(options.clone()).await;
    // More than are looked up one by one.
    for n in 0..40_i64 {
        let asked = create(&format!("c{n}"), 1 + n % 3, &[&team, &everyone]);
        let hold = asked.hold;
        ledger.hold(asked).await.unwrap();
        if n % 2 == 0 {
            let id = session(u32::try_from(n).unwrap());
            ledger.created(at(n), hold, id).await.unwrap();
        }
    }
    let mut other = create("stranger", 7, &[&everyone]);
    other.payer.team = "u".into();
    other.asker = other.payer.clone();
    ledger.hold(other).await.unwrap();
    let kept = stands(&ledger, &team, "c0").await;
    assert_eq!(
        kept,
        (0, 40_000 + 39_000),
        "0 + 1 + 2 in turn, and one each"
    );
    let all = stands(&ledger, &everyone, "c0").await;
    assert_eq!(all, (0, kept.1 + 7_000));
    ledger.close().await;
    let ledger = opened(options).await;
    assert_eq!(stands(&ledger, &team, "c0").await, kept);
    assert_eq!(stands(&ledger, &everyone, "c0").await, all);
    sound(&ledger).await;
}

#[tokio::test]
async fn l11_what_is_charged_without_being_used_hides_nothing_that_was_used() {
    let ledger = ledger().await;
    let month = budget("t/month", Some("t"), Per::Team, 50);
    let used = create("one", 5, &[&month]);
    let hold = used.hold;
    ledger.hold(used).await.unwrap();
    ledger.created(at(1), hold, session(1)).await.unwrap();
    let said = reading(&ledger, 2, 2.0, "running");
    assert!(ledger.read(session(1), said).await.unwrap());
    let lost = create("one", 7, &[&month]);
    let hold = lost.hold;
    ledger.hold(lost).await.unwrap();
    ledger.unknown(at(3), hold).await.unwrap();
    ledger.written_off(at(4), hold).await.unwrap();
    let mut uncapped = create("one", 1, &[&month]);
    uncapped.what = What::Uncapped(Acu::from_milli(11_000));
    let hold = uncapped.hold;
    ledger.hold(uncapped).await.unwrap();
    ledger.charged(at(5), hold).await.unwrap();
    let day = month.every.window(at(0).at);
    let billed = Acu::from_milli(20_000);
    let organization = payer("one").organization.as_ref().into();
    let news = ledger.consumed(at(6).at, organization, vec![(day, billed)]);
    let news = news.await.unwrap();
    let [compared] = &news[..] else {
        panic!("{news:?}")
    };
    let milli = [compared.ledger, compared.unattributed].map(Acu::milli);
    assert_eq!(milli, [2_000, 18_000]);
    sound(&ledger).await;
}
