//! `applydiff`.

use crate::app::Context;
use crate::engine;
use crate::flags::Flag;
use crate::input::Input;
use crate::stop::Outcome;

pub(crate) const HELP: &str = "\
Reads a tar archive as `import-layer` does and applies it to a layer that exists, which is either changed as a whole or
left as it was. A mounted layer is refused.";

pub(crate) const FLAGS: &[Flag] = &[Flag::value(&["--file", "-f"], "Read from file instead of stdin")];

pub(crate) fn apply_diff(context: &mut Context) -> Outcome {
    let input = Input::open("apply diff", context.flags.value("--file"), &context.cancel)?;
    let (store, mut key) = engine::open(context)?;
    let work = context.work("apply diff");
    store.apply_diff(&mut key, &engine::layer_of(&store, &context.args[0]), input, &work.task)?;
    Ok(())
}
