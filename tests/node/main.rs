//! One node as its users see it: the library's surface, its bounds, its disk.

mod bounds;
mod calls;
mod crash;
mod data_directory;
mod memory;
mod requests;
mod support;
mod tries;
