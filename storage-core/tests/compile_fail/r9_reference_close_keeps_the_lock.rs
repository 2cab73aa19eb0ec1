//! R9: nor can what a diff returns keep the proof until it is closed: it is told without a lock, after the guard is gone.
use storage_core::driver::Comparison;
use storage_core::locks::Mounting;
use storage_core::{Result, Task};

#[derive(Debug)]
struct Mounted<'g> {
    held: Mounting<'g>,
}

impl Comparison for Mounted<'_> {
    fn changes(&self, _: &Task, _: &mut dyn FnMut(storage_core::archive::Change) -> Result<()>) -> Result<()> {
        Ok(())
    }

    fn pack(&self, _: &mut dyn std::io::Write, _: &mut dyn FnMut() -> Result<()>, _: &Task) -> Result<()> {
        Ok(())
    }

    fn size(&self, _: &Task) -> Result<u64> {
        Ok(0)
    }

    fn check(&self) -> Result<()> {
        Ok(())
    }
}

fn compare<'g>(held: Mounting<'g>) -> Box<dyn Comparison> {
    Box::new(Mounted { held })
}

fn main() {}
