//! What others write into the fields of a packet that the programs use among themselves.

use harness::{
    foreign_program::ForeignProgram,
    traffic::Client,
    world::{Variant, shared},
};

for_each_variant!(a_pod_that_writes_tc_index_itself_is_masqueraded_all_the_same);

/// `skb->tc_index = 0xffff; return TCX_NEXT`, as `struct bpf_insn`.
const SETS_ALL_BITS: [u64; 4] = [
    0x0000_ffff_0000_02b4,
    0x0000_0000_002c_2163,
    0xffff_ffff_0000_00b7,
    0x95,
];

fn a_pod_that_writes_tc_index_itself_is_masqueraded_all_the_same(variant: Variant) {
    let world = shared();
    let [one, two] = &world.topology.nodes;
    let client = &one.pods[2];
    let service = world.publish(variant, &[&two.pods[0]]).unwrap();
    let program = ForeignProgram::load(*b"sets_all_bits\0\0\0", &SETS_ALL_BITS).unwrap();
    let links = client.ns.run(|| program.attach_everywhere()).unwrap();
    let answer = Client::new(&client.ns)
        .ask(variant.protocol, service.external_ip())
        .unwrap();
    drop(links);
    assert_eq!(answer.client.ip(), one.host.ip(variant.family));
}
