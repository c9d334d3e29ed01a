//! Which container is next.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::policy::{Balance, BalanceBy};
use crate::upstream::UpstreamState;

/// A container that has just come gets at least this part of its share.
const FIRST_SHARE: f64 = 0.1;

/// What a request asks of the choice.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wish<'a> {
    /// Those that it had no luck with.
    pub(crate) tried: &'a [SocketAddr],
    /// The container that its client wants to stay with.
    pub(crate) wanted: Option<i64>,
}

/// The next one, beginning at `start`. One that fails lately is chosen only when no other is left.
pub(crate) fn choose<'a>(
    upstreams: &'a [Arc<UpstreamState>],
    balance: Balance,
    start: usize,
    wish: Wish<'_>,
) -> Option<&'a Arc<UpstreamState>> {
    let split = start.checked_rem(upstreams.len()).unwrap_or(0);
    let (before, after) = upstreams.split_at(split);
    let in_turn = || {
        after
            .iter()
            .chain(before)
            .filter(|u| !wish.tried.contains(&u.address))
    };
    let fit = || in_turn().filter(|u| !u.is_quarantined());
    if let Some(wanted) = wish.wanted
        && let Some(own) = fit().find(|u| u.id == wanted)
    {
        return Some(own);
    }
    let best = match balance.by {
        BalanceBy::Turn if balance.slow_start.is_zero() => fit().next(),
        BalanceBy::Turn => fit()
            .find(|u| rand::random::<f64>() < share(u, balance.slow_start))
            .or_else(|| fit().next()),
        // The first of equals, so that those with nothing to do take turns.
        BalanceBy::LeastRequests => fit().min_by(|a, b| {
            let load = |u: &UpstreamState| {
                #[expect(
                    clippy::cast_precision_loss,
                    reason = "nobody has 2^52 requests under way"
                )]
                let active = u.instance.active() as f64;
                (active + 1.0) / share(u, balance.slow_start)
            };
            load(a).total_cmp(&load(b))
        }),
    };
    best.or_else(|| in_turn().next())
}

/// How much of its share a container gets: less at first, all of it once it has been here for `slow_start`.
fn share(upstream: &UpstreamState, slow_start: Duration) -> f64 {
    if slow_start.is_zero() {
        return 1.0;
    }
    let age = upstream.age().as_secs_f64() / slow_start.as_secs_f64();
    age.clamp(FIRST_SHARE, 1.0)
}

/// Counts a failure against a container; too many in a row, and it rests. Never more than half of them at a time.
pub(crate) fn note_failure(
    upstreams: &[Arc<UpstreamState>],
    balance: Balance,
    failed: &UpstreamState,
) {
    let Some(eject) = balance.eject else {
        return;
    };
    if failed.count_failure() < eject.after {
        return;
    }
    let resting = upstreams.iter().filter(|u| u.is_quarantined()).count();
    if (resting + 1) * 2 <= upstreams.len() {
        tracing::info!(dyno = %failed.dyno, "{} failed {} times in a row and rests", failed.dyno, eject.after);
        failed.rest_for(eject.rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Eject;
    use crate::table::PortKind;
    use crate::upstream::Instance;

    fn upstreams(count: i64) -> Vec<Arc<UpstreamState>> {
        let make = |id: i64| {
            let address: SocketAddr = format!("10.0.0.{id}:80").parse().unwrap();
            Arc::new(UpstreamState::new(
                id,
                (address, PortKind::Http),
                format!("web.{id}"),
                Arc::<Instance>::default(),
            ))
        };
        (1..=count).map(make).collect()
    }

    fn ids(all: &[Arc<UpstreamState>], balance: Balance, tried: &[SocketAddr]) -> Vec<i64> {
        let wish = Wish {
            tried,
            wanted: None,
        };
        (0..all.len())
            .filter_map(|start| choose(all, balance, start, wish).map(|u| u.id))
            .collect()
    }

    #[test]
    fn turns_go_round_and_pass_over_those_tried() {
        let all = upstreams(3);
        assert_eq!(ids(&all, Balance::default(), &[]), [1, 2, 3]);
        assert_eq!(ids(&all, Balance::default(), &[all[1].address]), [1, 3, 3]);
        assert!(ids(&[], Balance::default(), &[]).is_empty());
    }

    #[test]
    fn the_one_with_the_fewest_requests_is_next() {
        let all = upstreams(3);
        let balance = Balance {
            by: BalanceBy::LeastRequests,
            ..Balance::default()
        };
        let _busy = [all[0].instance.enter(), all[2].instance.enter()];
        assert_eq!(ids(&all, balance, &[]), [2, 2, 2]);
        let _more = [all[1].instance.enter(), all[1].instance.enter()];
        assert_eq!(ids(&all, balance, &[]), [1, 3, 3]);
    }

    #[test]
    fn a_client_stays_with_its_container_while_it_is_fit() {
        let all = upstreams(3);
        let wish = Wish {
            tried: &[],
            wanted: Some(3),
        };
        let chosen = |start| choose(&all, Balance::default(), start, wish).unwrap().id;
        assert_eq!((chosen(0), chosen(1)), (3, 3));
        all[2].rest_for(Duration::from_secs(60));
        assert_eq!((chosen(0), chosen(1)), (1, 2));
    }

    #[test]
    fn who_fails_in_a_row_rests_but_never_more_than_half() {
        let all = upstreams(3);
        let balance = Balance {
            eject: Some(Eject {
                after: 2,
                rest: Duration::from_secs(60),
            }),
            ..Balance::default()
        };
        note_failure(&all, balance, &all[0]);
        all[0].succeeded();
        note_failure(&all, balance, &all[0]);
        assert!(!all[0].is_quarantined(), "a success in between starts anew");
        note_failure(&all, balance, &all[0]);
        assert!(all[0].is_quarantined());
        assert_eq!(ids(&all, balance, &[]), [2, 2, 3]);
        for _ in 0..3 {
            note_failure(&all, balance, &all[1]);
        }
        assert!(!all[1].is_quarantined());
        let alone = upstreams(1);
        (0..5).for_each(|_| note_failure(&alone, balance, &alone[0]));
        assert!(!alone[0].is_quarantined());
    }

    #[test]
    fn a_newcomer_gets_a_part_of_its_share() {
        let all = upstreams(1);
        let share = share(&all[0], Duration::from_secs(3600));
        assert!((share - FIRST_SHARE).abs() < 0.01);
        let two = upstreams(2);
        let balance = Balance {
            slow_start: Duration::from_secs(3600),
            ..Balance::default()
        };
        // Everybody new: nobody is left without.
        assert_eq!(ids(&two, balance, &[]).len(), 2);
    }
}
