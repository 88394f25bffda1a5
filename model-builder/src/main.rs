//! See the library.

fn main() -> anyhow::Result<()> {
    model_builder::run()
}
