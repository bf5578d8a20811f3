//! Whose directory it is, and what is refused.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::consensus::storage::{DataDir, StorageError};

fn home() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

#[test]
fn a_missing_directory_is_made_for_its_owner_only() {
    let home = home();
    let path = home.path().join("deep/node");
    let first = DataDir::open(&path, None).expect("created").identity();
    assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o700);
    assert_eq!(DataDir::open(&path, Some(first.node)).expect("opened again").identity(), first);
    assert_ne!(DataDir::open(home.path().join("other"), None).expect("created").identity().node, first.node);
}

#[test]
fn a_directory_in_use_is_refused() {
    let home = home();
    let held = DataDir::open(home.path(), None).expect("created");
    let refused = DataDir::open(home.path(), None).expect_err("held");
    assert!(refused.to_string().contains("in use by another node"), "{refused}");
    drop(held);
    DataDir::open(home.path(), None).expect("free again");
}

#[test]
fn a_directory_of_unknown_origin_is_refused_and_left_alone() {
    let home = home();
    fs::write(home.path().join("holiday.jpg"), "beach").expect("written");
    let refused = DataDir::open(home.path(), None).expect_err("not a node's");
    assert!(refused.to_string().contains("\"holiday.jpg\""), "{refused}");
    assert_eq!(fs::read_dir(home.path()).expect("listed").count(), 1);
}

#[test]
fn a_log_without_its_identity_is_refused() {
    let home = home();
    drop(DataDir::open(home.path(), None).expect("created"));
    fs::write(home.path().join("vote"), "").expect("written");
    fs::remove_file(home.path().join("identity")).expect("removed");
    let refused = DataDir::open(home.path(), None).expect_err("the identity is lost");
    assert!(matches!(refused, StorageError::Foreign { found, .. } if found == "vote"));
}

#[test]
fn what_a_first_start_or_the_file_system_leaves_is_no_strangers() {
    let home = home();
    fs::create_dir(home.path().join("lost+found")).expect("created");
    fs::write(home.path().join("lock"), "").expect("written");
    fs::write(home.path().join("identity.tmp"), "half").expect("written");
    DataDir::open(home.path(), None).expect("created");
    assert!(!home.path().join("identity.tmp").exists());
}

#[test]
fn another_nodes_directory_is_refused_with_both_ids() {
    let home = home();
    let found = DataDir::open(home.path(), None).expect("created").identity().node;
    let expected = found ^ 1;
    let refused = DataDir::open(home.path(), Some(expected)).expect_err("another node's").to_string();
    assert!(refused.contains(&format!("{found:016x}")) && refused.contains(&format!("{expected:016x}")), "{refused}");
}

#[test]
fn an_expected_node_is_never_made_anew() {
    let home = home();
    let missing = home.path().join("missing");
    for path in [home.path(), &missing] {
        let refused = DataDir::open(path, Some(7)).expect_err("its log is gone");
        assert!(matches!(refused, StorageError::NoIdentity { expected: 7, .. }));
    }
    assert!(!missing.exists());
}

#[test]
fn a_changed_byte_in_the_identity_is_refused_by_name() {
    let home = home();
    drop(DataDir::open(home.path(), None).expect("created"));
    let path = home.path().join("identity");
    let whole = fs::read(&path).expect("read");
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x10;
        fs::write(&path, &damaged).expect("written");
        let refused = DataDir::open(home.path(), None).expect_err("damaged").to_string();
        assert!(refused.contains("identity"), "byte {at}: {refused}");
        assert_eq!(fs::read(&path).expect("read"), damaged, "it is not repaired");
    }
}

#[test]
fn an_unknown_format_version_is_refused_by_number() {
    let home = home();
    drop(DataDir::open(home.path(), None).expect("created"));
    let path = home.path().join("identity");
    let mut newer = fs::read(&path).expect("read");
    newer[8] = 9;
    fs::write(&path, newer).expect("written");
    let refused = DataDir::open(home.path(), None).expect_err("newer");
    assert!(matches!(refused, StorageError::UnknownVersion { found: 9, known: 1, .. }));
}

#[test]
fn a_path_that_cannot_be_a_directory_is_refused_by_name() {
    let home = home();
    let file = home.path().join("file");
    fs::write(&file, "").expect("written");
    let refused = DataDir::open(file.join("node"), None).expect_err("below a file").to_string();
    assert!(refused.starts_with("cannot create ") && refused.contains("file/node"), "{refused}");
}
