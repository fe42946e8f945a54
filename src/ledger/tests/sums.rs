//! What an account has is the same whether it was kept in step or added up from the file.

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
