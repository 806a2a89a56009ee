//! A picture that grows with what is drawn on it, so that nothing is ever cut off.

use std::fmt::{Arguments, Write};

/// Where a text stands in relation to its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    /// Begins there.
    Start,
    /// Is centred there.
    Middle,
    /// Ends there.
    End,
}

/// A picture in the making.
#[derive(Debug)]
pub(super) struct Canvas {
    shapes: String,
    width: f64,
    height: f64,
}

impl Canvas {
    pub(super) fn new() -> Self {
        Self {
            shapes: String::new(),
            width: WIDTH_MIN,
            height: 0.0,
        }
    }

    pub(super) fn text(&mut self, (x, y): (f64, f64), anchor: Anchor, size: f64, text: &str) {
        let width = text_width(text, size);
        let (name, end) = match anchor {
            Anchor::Start => ("start", x + width),
            Anchor::Middle => ("middle", x + width / 2.0),
            Anchor::End => ("end", x),
        };
        self.reach(end, y + size / 2.0);
        let text = escaped(text);
        self.draw(format_args!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{name}\" font-size=\"{size}\">{text}</text>\n"
        ));
    }

    pub(super) fn rectangle(
        &mut self,
        (x, y): (f64, f64),
        (width, height): (f64, f64),
        color: &str,
    ) {
        self.reach(x + width, y + height);
        self.draw(format_args!(
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{color}\"/>\n"
        ));
    }

    pub(super) fn line(&mut self, from: (f64, f64), to: (f64, f64), pen: Pen<'_>) {
        self.reach(from.0.max(to.0), from.1.max(to.1));
        let Pen {
            color,
            width,
            is_dashed,
        } = pen;
        let dashes = if is_dashed {
            " stroke-dasharray=\"6 4\""
        } else {
            ""
        };
        self.draw(format_args!(
            "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"{color}\" stroke-width=\"{width}\"{dashes}/>\n",
            from.0, from.1, to.0, to.1,
        ));
    }

    /// A dot; hollow, a ring.
    pub(super) fn dot(&mut self, (x, y): (f64, f64), color: &str, is_hollow: bool) {
        self.reach(x + DOT_RADIUS, y + DOT_RADIUS);
        let fill = if is_hollow { "white" } else { color };
        self.draw(format_args!(
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{DOT_RADIUS}\" fill=\"{fill}\" stroke=\"{color}\" stroke-width=\"1.5\"/>\n"
        ));
    }

    /// The whole picture. Its title and description are what programs read out.
    pub(super) fn finish(self, title: &str, description: &str) -> String {
        let (width, height) = ((self.width + MARGIN).ceil(), (self.height + MARGIN).ceil());
        let (title, description) = (escaped(title), escaped(description));
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
             height=\"{height}\" font-family=\"sans-serif\" fill=\"#222\" role=\"img\" \
             aria-labelledby=\"title description\">\n\
             <title id=\"title\">{title}</title>\n<desc id=\"description\">{description}</desc>\n\
             <rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>\n{}</svg>\n",
            self.shapes,
        )
    }

    fn reach(&mut self, x: f64, y: f64) {
        self.width = self.width.max(x);
        self.height = self.height.max(y);
    }

    fn draw(&mut self, shape: Arguments<'_>) {
        self.shapes
            .write_fmt(shape)
            .expect("a string takes everything");
    }
}

/// How a line is drawn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pen<'a> {
    pub(super) color: &'a str,
    pub(super) width: f64,
    pub(super) is_dashed: bool,
}

/// Room that a text needs, on the safe side: fonts differ.
pub(super) fn text_width(text: &str, size: f64) -> f64 {
    let chars = u32::try_from(text.chars().count()).expect("a text of a plot is short");
    f64::from(chars) * size * CHAR_WIDTH
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('"', "&quot;")
}

/// Of the letters of a wide sans serif (DejaVu's), in parts of their size.
const CHAR_WIDTH: f64 = 0.62;

const WIDTH_MIN: f64 = 640.0;

const MARGIN: f64 = 12.0;

const DOT_RADIUS: f64 = 3.0;

#[cfg(test)]
mod tests {
    use super::*;

    // The legend of a plot once ended at the edge of its picture, in the middle of a word.
    #[test]
    fn a_picture_has_room_for_its_longest_text() {
        let mut canvas = Canvas::new();
        let text = "Tahoe-LAFS 1.20, connections open";
        canvas.text((600.0, 20.0), Anchor::Start, 12.0, text);
        let svg = canvas.finish("t", "d");
        let width: f64 = attribute(&svg, "width=\"");
        assert!(width > 600.0 + text_width(text, 12.0), "{width}");
    }

    #[test]
    fn texts_are_text_and_not_markup() {
        let mut canvas = Canvas::new();
        canvas.text((0.0, 0.0), Anchor::Start, 12.0, "a < b & \"c\"");
        let svg = canvas.finish("<t>", "d & e");
        assert!(svg.contains("a &lt; b &amp; &quot;c&quot;"), "{svg}");
        assert!(svg.contains("&lt;t>") && svg.contains("d &amp; e"), "{svg}");
    }

    fn attribute(svg: &str, name: &str) -> f64 {
        let (_, rest) = svg.split_once(name).unwrap();
        rest.split('"').next().unwrap().parse().unwrap()
    }
}
