//! Plots as SVG: bars, and points with fitted lines. Just what `docs/results.md` needs.
//!
//! A plot is data, kept as JSON beside its picture, so that a picture can be drawn again without
//! measuring again. Colours say whose a figure is and nothing else. Every picture has a title and
//! a description in words.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

mod bars;
mod canvas;
mod points;

pub use bars::{Bar, Bars};
pub use points::{Points, Series};

/// A plot's data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Plot {
    /// Values beside each other.
    Bars(Bars),
    /// Values that depend on another one.
    Points(Points),
}

impl Plot {
    /// Draws it.
    #[must_use]
    pub fn svg(&self) -> String {
        match self {
            Self::Bars(bars) => bars.svg(),
            Self::Points(points) => points.svg(),
        }
    }

    /// What it shows, in words: for those who do not see the picture.
    #[must_use]
    pub fn description(&self) -> String {
        match self {
            Self::Bars(bars) => bars.description(),
            Self::Points(points) => points.description(),
        }
    }
}

/// Whose a figure is. The colours are told apart by people who do not see red and green alike (Okabe and Ito's).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Whose {
    /// This project's.
    Ours,
    /// This project's too, where one plot has two kinds of it.
    OursAlso,
    /// That of Tahoe-LAFS.
    Tahoe,
    /// That of a program that copies files, and does nothing else with them.
    Copy,
    /// What no program can be better than.
    Limit,
}

impl Whose {
    fn color(self) -> &'static str {
        match self {
            Self::Ours => "#0072b2",
            Self::OursAlso => "#56b4e9",
            Self::Tahoe => "#e69f00",
            Self::Copy => "#8c8c8c",
            Self::Limit => "#333333",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Ours | Self::OursAlso => "this project",
            Self::Tahoe => "Tahoe-LAFS 1.20",
            Self::Copy => "a plain copy",
            Self::Limit => "the limit of the line",
        }
    }
}

/// A number with three digits that count.
#[must_use]
pub fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 || size == 0.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// Words joined by a separator.
fn joined(parts: impl Iterator<Item = String>, separator: &str) -> String {
    let mut text = String::new();
    for (index, part) in parts.enumerate() {
        let separator = if index == 0 { "" } else { separator };
        write!(text, "{separator}{part}").expect("a string takes everything");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plot_is_read_back_from_its_data() {
        let plot = Plot::Points(Points {
            title: "t".to_owned(),
            x: "x".to_owned(),
            y: "y".to_owned(),
            series: vec![Series {
                name: "scp".to_owned(),
                whose: Whose::Copy,
                is_dashed: true,
                points: vec![(1.0, 2.5)],
            }],
        });
        let text = serde_json::to_string(&plot).unwrap();
        assert_eq!(serde_json::from_str::<Plot>(&text).unwrap(), plot);
    }

    // Two kinds of figures must not look alike.
    #[test]
    fn no_two_have_the_same_color() {
        let all = [
            Whose::Ours,
            Whose::OursAlso,
            Whose::Tahoe,
            Whose::Copy,
            Whose::Limit,
        ];
        let mut colors = all.map(Whose::color).to_vec();
        colors.sort_unstable();
        colors.dedup();
        assert_eq!(colors.len(), all.len());
    }
}
