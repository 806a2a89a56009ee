//! Values beside each other, the first on top.

use serde::{Deserialize, Serialize};

use super::canvas::{Anchor, Canvas, text_width};
use super::{Whose, joined, number};

/// A bar for each value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bars {
    /// What is shown, with the unit.
    pub title: String,
    /// From top to bottom.
    pub bars: Vec<Bar>,
}

/// One value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bar {
    /// What it is the value of.
    pub name: String,
    /// Which program's it is.
    pub whose: Whose,
    /// The value, not negative.
    pub value: f64,
}

impl Bars {
    pub(super) fn svg(&self) -> String {
        let names = self.bars.iter().map(|bar| text_width(&bar.name, TEXT));
        let left = LEFT + names.fold(0.0, f64::max);
        let values = self.bars.iter().map(|bar| bar.value);
        let most = values.fold(f64::MIN_POSITIVE, f64::max);
        let mut canvas = Canvas::new();
        canvas.text((LEFT, 24.0), Anchor::Start, 14.0, &self.title);
        let mut y = 42.0;
        for bar in &self.bars {
            let width = (bar.value / most * BAR_WIDTH_MAX).max(1.0);
            canvas.text((left, y + 14.0), Anchor::End, TEXT, &bar.name);
            canvas.rectangle((left + 8.0, y), (width, 20.0), bar.whose.color());
            let value = number(bar.value);
            canvas.text((left + 14.0 + width, y + 14.0), Anchor::Start, TEXT, &value);
            y += 28.0;
        }
        self.legend(&mut canvas, y + 4.0);
        canvas.finish(&self.title, &self.description())
    }

    /// What the colours mean, if there are several.
    fn legend(&self, canvas: &mut Canvas, y: f64) {
        let mut all: Vec<_> = self.bars.iter().map(|bar| bar.whose).collect();
        all.sort_unstable();
        all.dedup();
        if all.len() < 2 {
            return;
        }
        let mut x = LEFT;
        for whose in all {
            canvas.rectangle((x, y), (10.0, 10.0), whose.color());
            canvas.text((x + 15.0, y + 10.0), Anchor::Start, TEXT, whose.name());
            x += 35.0 + text_width(whose.name(), TEXT);
        }
    }

    pub(super) fn description(&self) -> String {
        let bars = self.bars.iter();
        let values = bars.map(|bar| format!("{} {}", bar.name, number(bar.value)));
        format!("{}. {}.", self.title, joined(values, "; "))
    }
}

const TEXT: f64 = 12.0;

const LEFT: f64 = 12.0;

const BAR_WIDTH_MAX: f64 = 400.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(whose: Whose, value: f64) -> Bar {
        Bar {
            name: format!("{whose:?}"),
            whose,
            value,
        }
    }

    fn bars(bars: Vec<Bar>) -> Bars {
        Bars {
            title: "MB/s".to_owned(),
            bars,
        }
    }

    #[test]
    fn bars_of_one_program_have_one_color_and_several_are_explained() {
        let ours = bars(vec![bar(Whose::Ours, 2.0), bar(Whose::Ours, 1.0)]).svg();
        assert_eq!(ours.matches(Whose::Ours.color()).count(), 2);
        assert!(!ours.contains(">this project<"));
        let both = bars(vec![bar(Whose::Ours, 2.0), bar(Whose::Tahoe, 1.0)]).svg();
        assert!(both.contains(">this project<") && both.contains(">Tahoe-LAFS 1.20<"));
    }

    #[test]
    fn the_description_has_every_value() {
        let bars = bars(vec![bar(Whose::Ours, 2.0), bar(Whose::Tahoe, 101.0)]);
        assert_eq!(bars.description(), "MB/s. Ours 2.00; Tahoe 101.");
        assert!(bars.svg().contains("<desc id=\"description\">MB/s. Ours"));
    }

    #[test]
    fn nothing_at_all_is_a_bar_that_can_be_seen() {
        assert!(
            bars(vec![bar(Whose::Limit, 0.0)])
                .svg()
                .contains("width=\"1.0\"")
        );
    }
}
