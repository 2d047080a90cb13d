use tempfile::TempDir;

use super::*;

const NONE: Settings = Settings {
    max_per_core: 0,
    min: 1 << 17,
    tcp_timeout_established: Duration::ZERO,
    tcp_timeout_close_wait: Duration::ZERO,
    tcp_be_liberal: false,
    udp_timeout: Duration::ZERO,
    udp_timeout_stream: Duration::ZERO,
};

/// A kernel's files, all with the value 7.
fn kernel() -> TempDir {
    let root = TempDir::new().unwrap();
    fs::create_dir_all(root.path().join(SYSCTLS)).unwrap();
    fs::create_dir_all(root.path().join(HASH_SIZE).parent().unwrap()).unwrap();
    let sysctls = [
        LOADED,
        "nf_conntrack_max",
        "nf_conntrack_tcp_timeout_established",
        "nf_conntrack_tcp_timeout_close_wait",
        "nf_conntrack_tcp_be_liberal",
        "nf_conntrack_udp_timeout",
        "nf_conntrack_udp_timeout_stream",
    ];
    for name in sysctls {
        fs::write(root.path().join(SYSCTLS).join(name), "7\n").unwrap();
    }
    fs::write(root.path().join(HASH_SIZE), "7\n").unwrap();
    root
}

/// What is not 7, in the order of the files' names, and the size of the hash table.
fn written(root: &TempDir) -> (Vec<(String, u64)>, u64) {
    let mut values: Vec<_> = fs::read_dir(root.path().join(SYSCTLS))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy();
            let name = name.trim_start_matches("nf_conntrack_").to_owned();
            (name, number(&path).unwrap())
        })
        .filter(|(_, value)| *value != 7)
        .collect();
    values.sort();
    (values, number(&root.path().join(HASH_SIZE)).unwrap())
}

fn named(values: &[(&str, u64)]) -> Vec<(String, u64)> {
    let values = values.iter();
    values.map(|(name, value)| ((*name).to_owned(), *value)).collect()
}

fn texts(errors: &[SettingError]) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn the_defaults_are_room_for_32768_connections_a_cpu_and_two_timeouts_of_tcp() {
    let root = kernel();
    let errors = write(root.path(), &Settings::default(), 8);
    assert_eq!(texts(&errors), Vec::<String>::new());
    let expected = [
        ("max", 262_144),
        ("tcp_timeout_close_wait", 3_600),
        ("tcp_timeout_established", 86_400),
    ];
    assert_eq!(written(&root), (named(&expected), 65_536));
}

#[test]
fn what_is_asked_for_besides_is_written_and_nothing_else() {
    let root = kernel();
    let settings = Settings {
        tcp_be_liberal: true,
        udp_timeout: Duration::from_secs(11),
        udp_timeout_stream: Duration::from_secs(12),
        ..NONE
    };
    assert!(write(root.path(), &settings, 8).is_empty());
    let expected = [
        ("tcp_be_liberal", 1),
        ("udp_timeout", 11),
        ("udp_timeout_stream", 12),
    ];
    assert_eq!(written(&root), (named(&expected), 7));
}

#[test]
fn the_table_has_room_for_the_minimum_at_least_and_a_million_at_most_and_zero_leaves_it() {
    for (max_per_core, min, cpus, expected) in [
        (32_768, 131_072, 2, 131_072),
        (32_768, 131_072, 5, 163_840),
        (32_768, 131_072, 33, 1_048_576),
        (u32::MAX, 0, 2, 1_048_576),
        (1, 2_000_000, 2, 2_000_000),
        (0, 131_072, 2, 0),
    ] {
        let settings = Settings {
            max_per_core,
            min,
            ..NONE
        };
        assert_eq!(
            settings.table_size(cpus).value,
            expected,
            "{max_per_core} {min} {cpus}"
        );
    }
}

#[test]
fn the_maximum_may_be_lowered_and_the_hash_table_never_is() {
    let root = kernel();
    let max = root.path().join(SYSCTLS).join("nf_conntrack_max");
    fs::write(&max, "4000000\n").unwrap();
    fs::write(root.path().join(HASH_SIZE), "4000000\n").unwrap();
    let settings = Settings {
        max_per_core: 1_000,
        min: 0,
        ..NONE
    };
    assert!(write(root.path(), &settings, 2).is_empty());
    assert_eq!(written(&root), (named(&[("max", 2_000)]), 4_000_000));
}

#[test]
fn what_is_as_asked_for_already_is_not_written() {
    let root = kernel();
    let settings = Settings {
        udp_timeout: Duration::from_secs(7),
        ..NONE
    };
    assert!(write(root.path(), &settings, 2).is_empty());
    let text = fs::read_to_string(root.path().join(SYSCTLS).join("nf_conntrack_udp_timeout"));
    assert_eq!(text.unwrap(), "7\n");
}

#[test]
fn a_file_that_cannot_be_written_is_named_with_a_remedy_and_the_others_are_written() {
    let root = kernel();
    let established = root
        .path()
        .join(SYSCTLS)
        .join("nf_conntrack_tcp_timeout_established");
    fs::remove_file(&established).unwrap();
    fs::create_dir(&established).unwrap();
    let errors = texts(&write(root.path(), &Settings::default(), 4));
    assert_eq!(errors.len(), 1, "{errors:?}");
    for part in [
        established.to_str().unwrap(),
        "cannot write 86400 to ",
        "--conntrack-tcp-timeout-established=0s",
        "conntrack.tcpEstablishedTimeout: 0s",
    ] {
        assert!(errors[0].contains(part), "{errors:?}");
    }
    let (values, _) = written(&root);
    assert_eq!(
        values,
        named(&[("max", 131_072), ("tcp_timeout_close_wait", 3_600)])
    );
}

#[test]
fn without_a_larger_maximum_the_hash_table_stays_and_a_hash_table_that_stays_is_told() {
    let settings = Settings {
        max_per_core: 1_000,
        ..NONE
    };
    for (file, other) in [("nf_conntrack_max", 7), ("hashsize", 131_072)] {
        let root = kernel();
        let paths = [
            root.path().join(SYSCTLS).join("nf_conntrack_max"),
            root.path().join(HASH_SIZE),
        ];
        let [refused, written] = match file {
            "hashsize" => [&paths[1], &paths[0]],
            _ => [&paths[0], &paths[1]],
        };
        fs::remove_file(refused).unwrap();
        let errors = texts(&write(root.path(), &settings, 2));
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(errors[0].contains(refused.to_str().unwrap()), "{errors:?}");
        assert!(errors[0].contains("--conntrack-max-per-core=0"), "{errors:?}");
        assert_eq!(number(written), Some(other), "{file}");
    }
}

#[test]
fn a_module_that_is_not_loaded_is_told_once_unless_nothing_is_asked_for() {
    let root = TempDir::new().unwrap();
    let errors = texts(&write(root.path(), &Settings::default(), 2));
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].contains("load the module nf_conntrack"), "{errors:?}");
    assert!(write(root.path(), &NONE, 2).is_empty());
}
