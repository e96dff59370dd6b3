//! Columns of text, aligned, without lines around them: readable by people, cuttable by programs.

use anstyle::Style;

use super::{DIM, Look};

/// One cell: its text, and how it is painted.
#[derive(Clone, Debug)]
pub struct Cell {
    text: String,
    style: Option<Style>,
    right: bool,
}

impl Cell {
    /// Plain text.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), style: None, right: false }
    }

    /// In a style, where colours are welcome.
    #[must_use]
    pub const fn styled(mut self, style: Style) -> Self {
        self.style = Some(style);
        self
    }

    /// Aligned to the right, as numbers are.
    #[must_use]
    pub const fn right(mut self) -> Self {
        self.right = true;
        self
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Cell::new(text)
    }
}

/// The rows under their headings, each line ended.
#[must_use]
pub fn table(look: Look, headings: &[&str], rows: &[Vec<Cell>]) -> String {
    let wide = |text: &str| text.chars().count();
    let mut widths: Vec<usize> = headings.iter().map(|heading| wide(heading)).collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default().max(widths.len());
    widths.resize(columns, 0);
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(wide(&cell.text));
        }
    }
    let mut text = String::new();
    let mut line = |cells: &[Cell]| {
        let mut written = String::new();
        for (index, (cell, width)) in cells.iter().zip(&widths).enumerate() {
            let gap = " ".repeat(width.saturating_sub(wide(&cell.text)));
            let painted = cell.style.map_or_else(|| cell.text.clone(), |style| look.paint(style, &cell.text));
            let last = index + 1 == cells.len();
            match (cell.right, last) {
                (true, _) => written.push_str(&format!("{gap}{painted}")),
                (false, true) => written.push_str(&painted),
                (false, false) => written.push_str(&format!("{painted}{gap}")),
            }
            if !last {
                written.push_str("  ");
            }
        }
        text.push_str(written.trim_end());
        text.push('\n');
    };
    if !headings.is_empty() {
        let right = |index: usize| rows.first().and_then(|row| row.get(index)).is_some_and(|cell| cell.right);
        let cells: Vec<Cell> = headings
            .iter()
            .enumerate()
            .map(|(index, heading)| Cell { text: (*heading).to_owned(), style: Some(DIM), right: right(index) })
            .collect();
        line(&cells);
    }
    for row in rows {
        line(row);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output::BAD;

    #[test]
    fn columns_line_up_whatever_is_in_them_and_colours_take_no_room() {
        let rows = [
            vec![Cell::new("a").styled(BAD), Cell::new("1").right(), Cell::new("x")],
            vec![Cell::new("lång"), Cell::new("200").right(), Cell::new("y")],
        ];
        assert_eq!(table(Look::PLAIN, &["n", "of", "z"], &rows), "n      of  z\na       1  x\nlång  200  y\n");
        let painted = table(Look { terminal: true, color: true }, &[], &rows);
        assert_eq!(anstream::adapter::strip_str(&painted).to_string(), "a       1  x\nlång  200  y\n");
        assert!(painted.contains('\u{1b}'));
    }
}
