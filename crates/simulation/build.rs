//! Exports the program's own symbols, so that libraries that look the source of chance up at run time find ours.

fn main() {
    println!("cargo:rustc-link-arg-bins=-rdynamic");
    println!("cargo:rerun-if-changed=build.rs");
}
