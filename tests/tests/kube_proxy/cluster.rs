//! A random cluster: the Services of one namespace and their EndpointSlices, which change.

use std::collections::BTreeMap;

use harness::apiserver::Write;

use crate::{dice::Dice, service::Service, slice::Slice};

const SERVICES: usize = 4;
const SLICES: usize = 3;

/// What a namespace has.
#[derive(Debug)]
pub(crate) struct Cluster {
    namespace: String,
    services: BTreeMap<u32, (Service, BTreeMap<usize, Slice>)>,
}

impl Cluster {
    /// A random one, and the writes that create it. `next` is a number that no Service has had.
    pub(crate) fn random(dice: &mut Dice, namespace: &str, next: &mut u32) -> (Self, Vec<Write>) {
        let mut cluster = Self {
            namespace: namespace.to_owned(),
            services: BTreeMap::new(),
        };
        let count = 2 + dice.below(SERVICES - 1);
        let writes = (0..count).flat_map(|_| cluster.add(dice, next)).collect();
        (cluster, writes)
    }

    /// Changes something.
    pub(crate) fn change(&mut self, dice: &mut Dice, next: &mut u32) -> Vec<Write> {
        let numbers: Vec<u32> = self.services.keys().copied().collect();
        if numbers.is_empty() {
            return self.add(dice, next);
        }
        let number = dice.one_of(&numbers);
        match dice.below(20) {
            0 => self.remove(number),
            1 if numbers.len() <= SERVICES => self.add(dice, next),
            2..=8 => self.change_service(dice, number),
            _ => self.change_slice(dice, number),
        }
    }

    /// Everything goes.
    pub(crate) fn clear(&mut self) -> Vec<Write> {
        let numbers: Vec<u32> = self.services.keys().copied().collect();
        numbers
            .into_iter()
            .flat_map(|number| self.remove(number))
            .collect()
    }

    fn add(&mut self, dice: &mut Dice, next: &mut u32) -> Vec<Write> {
        let number = *next;
        *next += 1;
        let service = Service::random(dice, &self.namespace, number);
        let mut slices = BTreeMap::new();
        for at in dice.some_of(60, &[0, 1, 2]) {
            slices.insert(at, Slice::random(dice, &self.namespace, &service, at));
        }
        let mut writes = service.writes();
        writes.extend(slices.values().map(|slice| Write::Apply(slice.document())));
        self.services.insert(number, (service, slices));
        writes
    }

    fn remove(&mut self, number: u32) -> Vec<Write> {
        let Some((service, slices)) = self.services.remove(&number) else {
            return Vec::new();
        };
        let documents = slices.values().map(Slice::document);
        documents.chain([service.document()]).map(Write::Delete).collect()
    }

    fn change_service(&mut self, dice: &mut Dice, number: u32) -> Vec<Write> {
        let Some((service, _)) = self.services.get_mut(&number) else {
            return Vec::new();
        };
        service.change(dice);
        service.writes()
    }

    fn change_slice(&mut self, dice: &mut Dice, number: u32) -> Vec<Write> {
        let Some((service, slices)) = self.services.get_mut(&number) else {
            return Vec::new();
        };
        let at = dice.below(SLICES);
        let Some(slice) = slices.get_mut(&at) else {
            let slice = Slice::random(dice, &self.namespace, service, at);
            let document = slice.document();
            slices.insert(at, slice);
            return vec![Write::Apply(document)];
        };
        if dice.percent(10) {
            let document = slice.document();
            slices.remove(&at);
            return vec![Write::Delete(document)];
        }
        slice.change(dice);
        vec![Write::Apply(slice.document())]
    }
}
