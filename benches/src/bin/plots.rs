//! Draws every plot under `docs/plots` anew from the data beside it, without measuring anything.

use std::process::ExitCode;

use benches::results::{read_plots, write_plot};
use clap::Parser;

/// Draw the plots of docs/results.md again from their data
#[derive(Parser)]
struct Arguments {}

fn main() -> ExitCode {
    let Arguments {} = Arguments::parse();
    let drawn = read_plots().and_then(|plots| {
        for (name, plot) in plots {
            // The Markdown that shows each, to be put into a page whose text has changed.
            println!("{}", write_plot(&name, &plot)?);
        }
        Ok(())
    });
    match drawn {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("plots: {error}");
            ExitCode::from(3)
        }
    }
}
