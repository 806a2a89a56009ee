//! Plots as SVG: bars, and points with fitted lines. Just what `docs/results.md` needs.

use std::fmt::Write;

use crate::fit::Fit;

/// Values beside each other, the first on top.
#[derive(Debug)]
pub struct Bars<'a> {
    /// What is shown, with the unit.
    pub title: &'a str,
    /// Names and values.
    pub bars: &'a [(&'a str, f64)],
}

impl Bars<'_> {
    /// Draws them.
    #[must_use]
    pub fn svg(&self) -> String {
        let height = 50 + 30 * self.bars.len();
        let most = self
            .bars
            .iter()
            .map(|(_, value)| *value)
            .fold(f64::MIN_POSITIVE, f64::max);
        let mut svg = begin(height, self.title);
        for (index, (name, value)) in self.bars.iter().enumerate() {
            let y = 45 + 30 * index;
            let width = (value / most * BAR_WIDTH_MAX).max(1.0);
            let color = COLORS[index % COLORS.len()];
            let text = number(*value);
            draw(
                &mut svg,
                format_args!(
                    "<text x=\"190\" y=\"{}\" text-anchor=\"end\">{}</text>\
                 <rect x=\"200\" y=\"{y}\" width=\"{width:.1}\" height=\"20\" fill=\"{color}\"/>\
                 <text x=\"{:.1}\" y=\"{}\">{text}</text>\n",
                    y + 15,
                    escaped(name),
                    206.0 + width,
                    y + 15,
                ),
            );
        }
        svg + "</svg>\n"
    }
}

/// Points with the line that fits them.
#[derive(Debug)]
pub struct Points<'a> {
    /// What is shown.
    pub title: &'a str,
    /// What grows to the right, with the unit.
    pub x: &'a str,
    /// What grows upwards, with the unit.
    pub y: &'a str,
    /// Names and points.
    pub series: &'a [(&'a str, &'a [(f64, f64)])],
}

impl Points<'_> {
    /// Draws them.
    #[must_use]
    pub fn svg(&self) -> String {
        let all = || self.series.iter().flat_map(|(_, points)| points.iter());
        let most_x = round_up(all().map(|point| point.0).fold(f64::MIN_POSITIVE, f64::max));
        let most_y = round_up(all().map(|point| point.1).fold(f64::MIN_POSITIVE, f64::max));
        let at = |(x, y): (f64, f64)| (70.0 + 420.0 * x / most_x, 300.0 - 250.0 * y / most_y);

        let mut svg = begin(350, self.title);
        for step in 0..=4 {
            let part = f64::from(step) / 4.0;
            let (x, y) = at((most_x * part, most_y * part));
            let (text_x, text_y) = (number(most_x * part), number(most_y * part));
            draw(
                &mut svg,
                format_args!(
                    "<path d=\"M70 {y:.1}H490M{x:.1} 50V300\" stroke=\"#ddd\"/>\
                 <text x=\"64\" y=\"{:.1}\" text-anchor=\"end\">{text_y}</text>\
                 <text x=\"{x:.1}\" y=\"316\" text-anchor=\"middle\">{text_x}</text>\n",
                    y + 4.0,
                ),
            );
        }
        draw(
            &mut svg,
            format_args!(
                "<text x=\"280\" y=\"338\" text-anchor=\"middle\">{}</text>\
             <text transform=\"translate(16 175) rotate(-90)\" text-anchor=\"middle\">{}</text>\n",
                escaped(self.x),
                escaped(self.y),
            ),
        );
        for (index, (name, points)) in self.series.iter().enumerate() {
            let color = COLORS[index % COLORS.len()];
            for point in *points {
                let (x, y) = at(*point);
                draw(
                    &mut svg,
                    format_args!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{color}\"/>"),
                );
            }
            if let Some(fit) = Fit::of(points) {
                let (from, to) = (at((0.0, fit.at(0.0))), at((most_x, fit.at(most_x))));
                draw(
                    &mut svg,
                    format_args!(
                        "<path d=\"M{:.1} {:.1}L{:.1} {:.1}\" stroke=\"{color}\" stroke-width=\"1.5\"/>",
                        from.0, from.1, to.0, to.1,
                    ),
                );
            }
            let y = 60 + 18 * index;
            draw(
                &mut svg,
                format_args!(
                    "<rect x=\"505\" y=\"{}\" width=\"10\" height=\"10\" fill=\"{color}\"/>\
                 <text x=\"520\" y=\"{y}\">{}</text>\n",
                    y - 9,
                    escaped(name),
                ),
            );
        }
        svg + "</svg>\n"
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

fn begin(height: usize, title: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
         font-family=\"sans-serif\" font-size=\"12\" fill=\"#222\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"white\"/>\n\
         <text x=\"{}\" y=\"24\" text-anchor=\"middle\" font-size=\"14\">{}</text>\n",
        WIDTH / 2,
        escaped(title),
    )
}

fn draw(svg: &mut String, shape: std::fmt::Arguments<'_>) {
    svg.write_fmt(shape).expect("a string takes everything");
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('"', "&quot;")
}

/// The next of 1, 2, 5, 10, 20, ... : an axis that ends at a number people read.
fn round_up(value: f64) -> f64 {
    let magnitude = 10_f64.powf(value.log10().floor());
    [1.0, 2.0, 5.0]
        .map(|step| step * magnitude)
        .into_iter()
        .find(|end| *end >= value)
        .unwrap_or(10.0 * magnitude)
}

const WIDTH: usize = 720;

const BAR_WIDTH_MAX: f64 = 420.0;

/// Told apart by people who do not see red and green alike (Okabe and Ito's).
const COLORS: [&str; 6] = [
    "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_ends_at_a_number_that_people_read() {
        for (value, end) in [
            (0.9, 1.0),
            (1.0, 1.0),
            (1.1, 2.0),
            (340.0, 500.0),
            (501.0, 1000.0),
        ] {
            assert!((round_up(value) - end).abs() < 1e-9, "{value}");
        }
    }

    #[test]
    fn names_are_text_and_not_markup() {
        let svg = Bars {
            title: "a < b & c",
            bars: &[("\"scp\"", 1.0), ("none", 0.0)],
        }
        .svg();
        assert!(svg.contains("a &lt; b &amp; c") && svg.contains("&quot;scp&quot;"));
        assert_eq!(svg.matches("<rect").count(), 3);
        assert!(svg.ends_with("</svg>\n"));
    }

    #[test]
    fn each_series_has_its_points_and_its_line() {
        let ours = [(14.0, 16.0), (50.0, 52.0)];
        let single = [(14.0, 400.0)];
        let series: [(&str, &[(f64, f64)]); 2] = [("ours", &ours), ("theirs", &single)];
        let svg = Points {
            title: "t",
            x: "x",
            y: "y",
            series: &series,
        }
        .svg();
        assert_eq!(svg.matches("<circle").count(), 3);
        assert_eq!(svg.matches("stroke-width=\"1.5\"").count(), 1);
    }
}
