//! Rules that follow changes are those of the last state, over random clusters.

use harness::manifests::cluster;
use proptest::{collection::vec, prelude::*};
use proxy_agent::{
    dataplane::iptables::render::{Extent, Renderer, RuleCounts, Settings},
    model::{ClusterEvent, Desired, Family, Object, Protocol, compute},
};

use super::{History, chains::Chains, settings};
use crate::oracle::{World, config, world};

fn events(before: &World, after: &World) -> Vec<ClusterEvent> {
    let after: Vec<Object> = after.objects();
    let is_gone = |object: &Object| after.iter().all(|kept| kept.reference() != object.reference());
    let gone = before.objects().into_iter().filter(is_gone);
    let gone = gone.map(|object| ClusterEvent::Delete(object.reference()));
    let apply = after.iter().cloned().map(ClusterEvent::Apply);
    apply.chain(gone).collect()
}

/// Both families, and one protocol alone.
fn renderers(desired: &Desired) -> Vec<Renderer> {
    let one_protocol = Settings {
        only: Some(Protocol::Sctp),
        ..settings(Family::V4)
    };
    let all = [settings(Family::V4), settings(Family::V6), one_protocol];
    let render = |settings| {
        let mut renderer = Renderer::new(settings);
        renderer.render_all(desired, &[]);
        renderer
    };
    all.into_iter().map(render).collect()
}

fn full(renderers: &[Renderer]) -> Vec<String> {
    renderers
        .iter()
        .map(|renderer| renderer.text(Extent::Full, &[]))
        .collect()
}

fn stale(renderer: &Renderer, kernel: &Chains) -> Vec<String> {
    let chains = kernel.of_services().filter(|chain| !renderer.is_active(chain));
    chains.map(str::to_owned).collect()
}

/// Two worlds and in what order the one becomes the other.
fn worlds() -> impl Strategy<Value = (World, World, Vec<ClusterEvent>)> {
    (world(), world()).prop_flat_map(|(before, after)| {
        let events = events(&before, &after);
        (Just(before), Just(after), Just(events).prop_shuffle())
    })
}

proptest! {
    #![proptest_config(config(500))]

    #[test]
    fn rules_that_follow_every_change_are_those_of_the_last_state((before, _, events) in worlds()) {
        let mut history = History::on(before.context.clone(), before.objects());
        let mut followed = renderers(history.plan.desired());
        for event in events {
            history.handle(event, &mut followed);
            let anew = renderers(history.plan.desired());
            prop_assert_eq!(full(&followed), full(&anew));
        }
    }

    #[test]
    fn partial_texts_one_after_the_other_leave_the_chains_of_the_full_text(
        (before, _, events) in worlds(),
        restores in vec(any::<bool>(), 30),
    ) {
        let mut history = History::on(before.context.clone(), before.objects());
        let mut followed = renderers(history.plan.desired());
        let mut kernels = vec![Chains::default(); followed.len()];
        for (event, restores) in events.into_iter().zip(restores.into_iter().cycle()) {
            history.handle(event, &mut followed);
            if !restores {
                continue;
            }
            for (renderer, kernel) in followed.iter_mut().zip(&mut kernels) {
                kernel.restore(&renderer.text(Extent::Partial, &stale(renderer, kernel)));
                renderer.written();
                let mut expected = Chains::default();
                expected.restore(&renderer.text(Extent::Full, &[]));
                prop_assert_eq!(&*kernel, &expected);
            }
        }
    }

    #[test]
    fn counts_are_those_of_the_rules_and_chains_in_use_those_of_the_text(world in world()) {
        let desired = compute(&cluster(world.objects()), &world.context);
        for mut renderer in renderers(&desired) {
            let text = renderer.text(Extent::Full, &[]);
            let mut kernel = Chains::default();
            kernel.restore(&text);
            let counts = RuleCounts { filter: kernel.rules("filter"), nat: kernel.rules("nat") };
            prop_assert_eq!(renderer.rule_counts(Extent::Full), counts);
            prop_assert_eq!(renderer.rule_counts(Extent::Partial), counts);
            prop_assert_eq!(renderer.text(Extent::Partial, &[]), text);
            prop_assert_eq!(stale(&renderer, &kernel), Vec::<String>::new());
            renderer.written();
            let partial = renderer.text(Extent::Partial, &[]);
            let rules = partial.lines().filter(|line| line.starts_with("-A")).count();
            let counts = renderer.rule_counts(Extent::Partial);
            prop_assert_eq!(counts.filter + counts.nat, rules);
            prop_assert!(partial.lines().all(|line| !line.starts_with(":KUBE-S") || line.starts_with(":KUBE-SERVICES ")));
        }
    }
}
