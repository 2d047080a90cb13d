//! Passes over maps in memory that fail, run full and are looked at after every single write.

use std::collections::BTreeSet;

use proptest::{collection::vec, option, prelude::*, test_runner::RngSeed};
use proxy_common::{EndpointKey, snat::PortPool};

use self::{
    kernel::Kernel,
    wanted::{Web, desired, web},
};
use super::{GRACE, Retired};
use crate::{
    dataplane::{
        Applied,
        bpf::{
            encode::{Contents, encode},
            maps::MapError,
            memory::{Faults, FullMap},
            tracked_map::TrackedMap,
            writer::Writer,
        },
    },
    model::{Delta, Desired},
};

mod kernel;
mod wanted;

/// An agent that writes into `kernel`.
struct Agent {
    kernel: Kernel,
    writer: Writer,
    /// What the last pass has written, if it went well.
    holds: Option<Desired>,
}

impl Agent {
    fn start(kernel: &Kernel) -> Self {
        Self {
            kernel: kernel.clone(),
            writer: Writer::new(kernel.open()),
            holds: None,
        }
    }

    /// Writes everything.
    fn pass(&mut self, desired: &Desired) -> Result<Applied, MapError> {
        let applied = self.writer.apply_all(desired, ports(), self.kernel.now());
        self.holds = applied.is_ok().then(|| desired.clone());
        applied
    }

    /// Writes what is different from the last time, or everything if that did not go well.
    fn change(&mut self, desired: &Desired) -> Result<Applied, MapError> {
        let Some(before) = self.holds.take() else {
            return self.pass(desired);
        };
        let delta = Delta::between(&before, desired);
        let now = self.kernel.now();
        let applied = self.writer.apply_delta(desired, &delta, ports(), now);
        self.holds = applied.is_ok().then(|| desired.clone());
        applied
    }

    /// Repeats the pass until nothing fails.
    fn converge(&mut self, desired: &Desired) -> Applied {
        for _ in 0..10_000 {
            if let Ok(applied) = self.change(desired) {
                return applied;
            }
        }
        panic!("no pass went well");
    }

    /// Repeats the pass until nothing is left for later.
    fn settle(&mut self, desired: &Desired) -> Contents {
        while self.converge(desired).again_in.is_some() {
            self.kernel.wait(GRACE);
        }
        encode(desired, &mut self.writer.ids().clone())
    }
}

fn ports() -> PortPool {
    PortPool::new([1_024..=29_999])
}

fn fresh() -> (Kernel, Agent) {
    let kernel = Kernel::new(Faults::none());
    let agent = Agent::start(&kernel);
    (kernel, agent)
}

#[derive(Clone, Debug)]
enum Step {
    Want(Vec<Option<Web>>),
    WantAnew(Vec<Option<Web>>),
    Again,
    Wait(u64),
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let webs = || vec(option::weighted(0.7, wanted::any_web()), wanted::SERVICES);
    let step = prop_oneof![
        4 => webs().prop_map(Step::Want),
        1 => webs().prop_map(Step::WantAnew),
        2 => Just(Step::Again),
        2 => (0..1_500_u64).prop_map(Step::Wait),
        1 => Just(Step::Restart),
    ];
    vec(step, 1..30)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 200, rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..ProptestConfig::default()
    })]

    // The kernel's side checks itself after every write: see `kernel::Kernel::check`.
    #[test]
    fn a_program_never_meets_half_a_change_and_every_state_is_reached_whatever_fails(
        seed: u64,
        steps in steps(),
    ) {
        let kernel = Kernel::new(Faults::from_seed(seed));
        let mut agent = Agent::start(&kernel);
        let mut wanted = Desired::default();
        for step in steps {
            match step {
                Step::Want(webs) => {
                    wanted = desired(&webs);
                    let _ = agent.change(&wanted);
                }
                Step::WantAnew(webs) => {
                    wanted = desired(&webs);
                    let _ = agent.pass(&wanted);
                }
                Step::Again => {
                    agent.converge(&wanted);
                }
                Step::Wait(millis) => kernel.wait(std::time::Duration::from_millis(millis)),
                Step::Restart => agent = Agent::start(&kernel),
            }
        }
        let contents = agent.settle(&wanted);
        kernel.assert_holds(&contents);
        let nothing = agent.settle(&Desired::default());
        prop_assert!(nothing.services.is_empty());
        kernel.assert_holds(&nothing);
    }
}

#[test]
fn a_pass_that_has_nothing_to_change_writes_nothing_not_even_after_a_restart() {
    let (kernel, mut agent) = fresh();
    let wanted = desired(&[
        Some(web(3)),
        Some(Web {
            local: true,
            ..web(5)
        }),
        Some(Web {
            weight: 7,
            ..web(0b111)
        }),
    ]);
    agent.converge(&wanted);
    let writes = kernel.writes();
    let nothing = Applied::default();
    assert!(writes > 0);
    assert_eq!(agent.pass(&wanted).unwrap(), nothing);
    assert_eq!(Agent::start(&kernel).pass(&wanted).unwrap(), nothing);
    assert_eq!(kernel.writes(), writes);
}

#[test]
fn a_changed_endpoint_costs_its_list_and_the_frontends_that_name_it() {
    let (kernel, mut agent) = fresh();
    let many = |first: u8| -> Vec<_> {
        std::iter::once(Some(web(first)))
            .chain((1..100).map(|_| Some(web(0b111))))
            .collect()
    };
    agent.converge(&desired(&many(0b111)));
    let before = kernel.writes();
    let applied = agent.converge(&desired(&many(0b011)));
    // The next list id, two slots, a cluster IP and a NodePort.
    assert_eq!((applied.updates, applied.deletes), (1 + 2 + 2, 0));
    assert_eq!(kernel.writes() - before, 5);
    kernel.wait(GRACE);
    let applied = agent.converge(&desired(&many(0b011)));
    assert_eq!((applied.updates, applied.deletes), (0, 3), "the old list");
}

#[test]
fn members_are_written_for_those_whose_packets_ask_and_affinity_that_comes_later_brings_them() {
    let (kernel, mut agent) = fresh();
    let members = |agent: &mut Agent, web| {
        let contents = agent.settle(&desired(&[Some(web)]));
        kernel.assert_holds(&contents);
        kernel.v4.members.content().len()
    };
    let (tcp, udp) = (
        web(0b11),
        Web {
            udp: true,
            ..web(0b11)
        },
    );
    let sticky = Web {
        affinity: true,
        ..tcp
    };
    assert_eq!(
        [tcp, udp, tcp, sticky].map(|web| members(&mut agent, web)),
        [0, 2, 0, 2]
    );
}

#[test]
fn a_changed_weight_is_another_list_and_a_program_meets_the_old_or_the_new_one() {
    let (kernel, mut agent) = fresh();
    let weighted = |weight| desired(&[Some(Web { weight, ..web(0b111) })]);
    for (list, weight) in [(1, 1), (2, 7), (3, 0)] {
        let contents = agent.settle(&weighted(weight));
        assert_eq!(contents.v4.lists.keys().collect::<Vec<_>>(), [&list]);
        kernel.assert_holds(&contents);
    }
}

#[test]
fn an_old_list_stays_for_the_grace_period() {
    let (kernel, mut agent) = fresh();
    agent.converge(&desired(&[Some(web(1))]));
    let wanted = desired(&[Some(web(2))]);
    let lists = || -> BTreeSet<u32> {
        let endpoints = kernel.v4.endpoints.content();
        endpoints.keys().map(EndpointKey::list).collect()
    };
    assert_eq!(agent.converge(&wanted).again_in, Some(GRACE));
    kernel.wait(GRACE / 2);
    assert_eq!(agent.converge(&wanted).again_in, Some(GRACE));
    assert_eq!(lists(), [1, 2].into());
    kernel.wait(GRACE / 2);
    assert_eq!(agent.converge(&wanted).again_in, None);
    assert_eq!(lists(), [2].into());
}

#[test]
fn a_list_that_is_used_again_waits_for_the_whole_grace_period_afterwards() {
    let start = std::time::Instant::now();
    let mut retired = Retired::default();
    let (none, one) = (BTreeSet::new(), BTreeSet::from([1]));
    assert_eq!(retired.due(&one, &none, start), none);
    assert_eq!(retired.due(&one, &one, start + GRACE), none, "used again");
    assert_eq!(retired.due(&one, &none, start + GRACE * 3 / 2), none);
    assert_eq!(retired.due(&one, &none, start + GRACE * 2), none);
    assert_eq!(retired.due(&one, &none, start + GRACE * 5 / 2), one);
}

#[test]
fn ids_are_never_given_away_twice_not_even_across_restarts_with_empty_maps() {
    let (kernel, mut agent) = fresh();
    agent.settle(&desired(&[Some(web(1))]));
    agent.settle(&Desired::default());
    let mut agent = Agent::start(&kernel);
    let contents = agent.settle(&desired(&[Some(web(1))]));
    assert_eq!(contents.v4.lists.keys().collect::<Vec<_>>(), [&2]);
    assert_eq!(contents.services.keys().collect::<Vec<_>>(), [&2]);
}

#[test]
fn the_settings_are_written_before_anything_that_has_an_id() {
    let (kernel, mut agent) = fresh();
    kernel.faults.set_percent(100);
    agent.pass(&desired(&[Some(web(1))])).unwrap_err();
    kernel.faults.set_percent(0);
    assert!(kernel.services.content().is_empty() && kernel.v4.endpoints.content().is_empty());
    assert!(
        kernel.writes() <= 1,
        "nothing is tried after the settings have failed"
    );
    agent.converge(&desired(&[Some(web(1))]));
    let settings = kernel.settings.content()[&0];
    assert_eq!((settings.next_list(), settings.next_service()), (2, 2));
}

#[test]
fn a_restart_in_the_middle_of_a_failed_pass_gives_no_id_to_another_list() {
    for seed in 0..50 {
        let kernel = Kernel::new(Faults::from_seed(seed));
        let mut agent = Agent::start(&kernel);
        agent.converge(&desired(&[Some(web(1)), Some(web(2))]));
        let _ = agent.pass(&desired(&[Some(web(3)), Some(web(4))]));
        let mut agent = Agent::start(&kernel);
        let contents = agent.settle(&desired(&[Some(web(5)), Some(web(6))]));
        kernel.assert_holds(&contents);
    }
}

#[test]
fn frontends_that_do_not_fit_cost_no_other_service_its_changes_and_no_old_list_its_deletion() {
    let kernel = Kernel::new(Faults::none());
    let mut agent = Agent::start(&kernel);
    agent.converge(&desired(&[Some(web(1))]));
    agent.writer.maps.v4.frontends = TrackedMap::load(FullMap {
        map: kernel.v4.frontends.clone(),
        capacity: 2,
    })
    .unwrap();

    // The second Service's frontends do not fit. The first one's change does.
    let crowded = desired(&[Some(web(2)), Some(web(7))]);
    agent.pass(&crowded).unwrap_err();
    kernel.wait(GRACE);
    agent.pass(&crowded).unwrap_err();
    let named: BTreeSet<u32> = kernel
        .v4
        .frontends
        .content()
        .values()
        .map(|at| at.list_for(false).id)
        .collect();
    assert_eq!(named, [2].into());
    let present: BTreeSet<u32> = kernel
        .v4
        .endpoints
        .content()
        .keys()
        .map(EndpointKey::list)
        .collect();
    assert_eq!(present, [2, 3].into(), "list 1 is gone");

    // They fit as soon as the first Service is gone.
    let moved = desired(&[None, Some(web(7))]);
    agent.pass(&moved).unwrap_err();
    let contents = agent.settle(&moved);
    kernel.assert_holds(&contents);
}

#[test]
fn a_list_that_does_not_fit_leaves_its_frontends_at_the_old_one() {
    let kernel = Kernel::new(Faults::none());
    let mut agent = Agent::start(&kernel);
    agent.converge(&desired(&[Some(web(0b1)), Some(web(0b1))]));
    agent.writer.maps.v4.endpoints = TrackedMap::load(FullMap {
        map: kernel.v4.endpoints.clone(),
        capacity: 4,
    })
    .unwrap();
    let wanted = desired(&[Some(web(0b111)), Some(web(0b10))]);
    agent.pass(&wanted).unwrap_err();
    kernel.wait(GRACE);
    agent.pass(&wanted).unwrap_err();
    let first = kernel.v4.frontends.content();
    assert_eq!(first.values().next().expect("a frontend").list_ids(), [1, 0]);

    // It fits as soon as the other Service's lists are gone.
    let alone = desired(&[Some(web(0b111)), None]);
    agent.pass(&alone).unwrap_err();
    kernel.wait(GRACE);
    agent.pass(&alone).unwrap_err();
    let contents = agent.settle(&alone);
    kernel.assert_holds(&contents);
}
