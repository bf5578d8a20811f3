//! Tests of the storage: the pieces, openraft's own suite, and disks that fail.

mod data_dir;
mod failing_disk;
mod log_store;
mod raft;
mod small_files;
mod wal;
mod wal_damage;
