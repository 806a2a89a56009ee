//! Values that depend on another one: points, each series with the line that fits it.

use serde::{Deserialize, Serialize};

use crate::fit::Fit;

use super::canvas::{Anchor, Canvas, Pen};
use super::{Whose, joined, number};

/// Points with the lines that fit them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Points {
    /// What is shown.
    pub title: String,
    /// What grows to the right, with the unit.
    pub x: String,
    /// What grows upwards, with the unit.
    pub y: String,
    /// Drawn in this order, later ones over earlier ones.
    pub series: Vec<Series>,
}

/// Points that belong together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// What they are.
    pub name: String,
    /// Which program's they are.
    pub whose: Whose,
    /// Tells two series of one program apart, also where one covers the other.
    pub is_dashed: bool,
    /// None negative, from left to right.
    pub points: Vec<(f64, f64)>,
}

impl Series {
    /// The line that fits the points, from zero to the last of them, as far as it is not negative.
    fn line(&self) -> Option<[(f64, f64); 2]> {
        let fit = Fit::of(&self.points)?;
        let last = self.points.iter().map(|(x, _)| *x).fold(0.0, f64::max);
        let start = match fit.intercept < 0.0 && fit.slope > 0.0 {
            true => -fit.intercept / fit.slope,
            false => 0.0,
        };
        Some([start, last].map(|x| (x, fit.at(x).max(0.0))))
    }

    fn pen(&self) -> Pen<'static> {
        Pen {
            color: self.whose.color(),
            width: 1.8,
            is_dashed: self.is_dashed,
        }
    }
}

impl Points {
    pub(super) fn svg(&self) -> String {
        // The lines are part of it: one that is steeper than its points would leave the frame.
        let lines = self.series.iter().filter_map(Series::line).flatten();
        let points = self.series.iter().flat_map(|series| &series.points);
        let all: Vec<_> = points.copied().chain(lines).collect();
        let x = Axis::up_to(all.iter().map(|(x, _)| *x).fold(0.0, f64::max));
        let y = Axis::up_to(all.iter().map(|(_, y)| *y).fold(0.0, f64::max));
        let at = |point: (f64, f64)| {
            let (right, up) = (point.0 / x.end, point.1 / y.end);
            (
                FRAME.left + FRAME.width * right,
                FRAME.bottom() - FRAME.height * up,
            )
        };

        let mut canvas = Canvas::new();
        canvas.text((12.0, 24.0), Anchor::Start, 14.0, &self.title);
        canvas.text((12.0, FRAME.top - 12.0), Anchor::Start, TEXT, &self.y);
        let grid = Pen {
            color: "#dddddd",
            width: 1.0,
            is_dashed: false,
        };
        for value in x.ticks() {
            let (place, _) = at((value, 0.0));
            canvas.line((place, FRAME.top), (place, FRAME.bottom()), grid);
            let text = (place, FRAME.bottom() + 16.0);
            canvas.text(text, Anchor::Middle, TEXT, &x.label(value));
        }
        for value in y.ticks() {
            let (_, place) = at((0.0, value));
            canvas.line((FRAME.left, place), (FRAME.left + FRAME.width, place), grid);
            let text = (FRAME.left - 6.0, place + 4.0);
            canvas.text(text, Anchor::End, TEXT, &y.label(value));
        }
        let below = (FRAME.left + FRAME.width / 2.0, FRAME.bottom() + 34.0);
        canvas.text(below, Anchor::Middle, TEXT, &self.x);

        let mut legend = FRAME.bottom() + 54.0;
        for series in &self.series {
            let color = series.whose.color();
            if let Some([from, to]) = series.line() {
                canvas.line(at(from), at(to), series.pen());
            }
            for point in &series.points {
                canvas.dot(at(*point), color, series.is_dashed);
            }
            let (from, to) = ((FRAME.left, legend), (FRAME.left + 36.0, legend));
            canvas.line(from, to, series.pen());
            canvas.dot((FRAME.left + 18.0, legend), color, series.is_dashed);
            let text = (FRAME.left + 44.0, legend + 4.0);
            canvas.text(text, Anchor::Start, TEXT, &series.name);
            legend += 18.0;
        }
        canvas.finish(&self.title, &self.description())
    }

    pub(super) fn description(&self) -> String {
        let series = self.series.iter().filter_map(|series| {
            let (first, last) = (series.points.first()?, series.points.last()?);
            Some(format!(
                "{}: {} at {}, {} at {}",
                series.name,
                number(first.1),
                number(first.0),
                number(last.1),
                number(last.0)
            ))
        });
        let (title, x, y) = (&self.title, &self.x, &self.y);
        format!("{title}: {y} against {x}. {}.", joined(series, "; "))
    }
}

/// From zero to a number that people read, in steps that they count in.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Axis {
    step: f64,
    steps: u32,
    end: f64,
}

impl Axis {
    fn up_to(most: f64) -> Self {
        let most = most.max(f64::MIN_POSITIVE);
        let mut magnitude = 10_f64.powf(most.log10().floor()) / 10.0;
        loop {
            for step in [1.0, 2.0, 5.0].map(|digit| digit * magnitude) {
                for steps in 1..=STEPS_MAX {
                    let end = step * f64::from(steps);
                    // What is equal but for rounding ends the axis.
                    if end >= most * (1.0 - 1e-9) {
                        return Self { step, steps, end };
                    }
                }
            }
            magnitude *= 10.0;
        }
    }

    fn ticks(self) -> impl Iterator<Item = f64> {
        (0..=self.steps).map(move |index| self.step * f64::from(index))
    }

    fn label(self, value: f64) -> String {
        if self.step >= 1.0 {
            return format!("{value:.0}");
        }
        number(value)
    }
}

/// Where the points are, within the picture.
struct Frame {
    left: f64,
    top: f64,
    width: f64,
    height: f64,
}

impl Frame {
    const fn bottom(&self) -> f64 {
        self.top + self.height
    }
}

const FRAME: Frame = Frame {
    left: 60.0,
    top: 58.0,
    width: 560.0,
    height: 300.0,
};

const TEXT: f64 = 12.0;

const STEPS_MAX: u32 = 7;

#[cfg(test)]
mod tests {
    use super::*;

    fn series(points: &[(f64, f64)]) -> Series {
        Series {
            name: "ours".to_owned(),
            whose: Whose::Ours,
            is_dashed: false,
            points: points.to_vec(),
        }
    }

    fn plot(series: Vec<Series>) -> Points {
        Points {
            title: "Time".to_owned(),
            x: "size, kB".to_owned(),
            y: "ms".to_owned(),
            series,
        }
    }

    #[test]
    fn an_axis_ends_at_a_number_that_people_read() {
        for (most, step, end) in [
            (0.9, 0.2, 1.0),
            (1.0, 0.2, 1.0),
            (6.9, 1.0, 7.0),
            (306.0, 50.0, 350.0),
            (1893.0, 500.0, 2000.0),
            (400.0, 100.0, 400.0),
        ] {
            let axis = Axis::up_to(most);
            assert!(
                (axis.step - step).abs() < 1e-9 && (axis.end - end).abs() < 1e-9,
                "{most}: {axis:?}"
            );
        }
    }

    // A fit that was steeper than its last point once ended above the frame, in the title.
    #[test]
    fn everything_that_is_drawn_is_inside_of_the_frame() {
        for points in [
            [(0.0, 100.0), (200.0, 100.0), (400.0, 1000.0)],
            [(100.0, 0.0), (200.0, 10.0), (400.0, 900.0)],
            [(1.0, 999.0), (2.0, 999.5), (3.0, 1000.0)],
        ] {
            let svg = plot(vec![series(&points)]).svg();
            let line = svg
                .lines()
                .find(|line| line.contains("stroke-width=\"1.8\""))
                .unwrap();
            let [x1, y1, x2, y2] = ["x1", "y1", "x2", "y2"].map(|name| attribute(line, name));
            let dots = svg.lines().filter(|line| line.starts_with("<circle"));
            let mut places: Vec<_> = dots
                .take(points.len())
                .map(|dot| (attribute(dot, "cx"), attribute(dot, "cy")))
                .collect();
            places.extend([(x1, y1), (x2, y2)]);
            for (x, y) in places {
                assert!(
                    (FRAME.left..=FRAME.left + FRAME.width).contains(&x),
                    "{points:?}: {x}"
                );
                assert!((FRAME.top..=FRAME.bottom()).contains(&y), "{points:?}: {y}");
            }
        }
    }

    #[test]
    fn each_series_has_its_points_its_line_and_its_name() {
        let mut other = series(&[(14.0, 400.0)]);
        other.is_dashed = true;
        let svg = plot(vec![series(&[(14.0, 16.0), (50.0, 52.0)]), other]).svg();
        // One more of each in the legend.
        assert_eq!(svg.matches("<circle").count(), 3 + 2);
        assert_eq!(svg.matches("stroke-width=\"1.8\"").count(), 1 + 2);
        assert_eq!(svg.matches("stroke-dasharray").count(), 1);
        assert_eq!(svg.matches(">ours<").count(), 2);
    }

    #[test]
    fn the_description_says_where_each_series_begins_and_ends() {
        let plot = plot(vec![series(&[(1.0, 57.0), (400.0, 1440.0)])]);
        assert_eq!(
            plot.description(),
            "Time: ms against size, kB. ours: 57.0 at 1.00, 1440 at 400."
        );
    }

    fn attribute(shape: &str, name: &str) -> f64 {
        let (_, rest) = shape.split_once(&format!(" {name}=\"")).unwrap();
        rest.split('"').next().unwrap().parse().unwrap()
    }
}
