//! What is drawn again and again over itself: never larger than the terminal, or each turn would scroll the last away.

/// Columns and lines of a terminal that does not say its size.
const USUAL: (usize, usize) = (80, 24);

/// Columns and lines of the terminal.
#[must_use]
pub fn size() -> (usize, usize) {
    terminal_size::terminal_size().map_or(USUAL, |(width, height)| (width.0.into(), height.0.into()))
}

/// The text in so many columns and lines, the last of which is left to the cursor. Colours take no room.
#[must_use]
pub fn fit(text: &str, (width, height): (usize, usize)) -> String {
    let room = height.saturating_sub(1).max(2);
    let lines: Vec<&str> = text.lines().collect();
    let shown = if lines.len() > room { room - 1 } else { lines.len() };
    let mut fitted = String::new();
    for line in &lines[..shown] {
        fitted.push_str(&console::truncate_str(line, width, "…"));
        fitted.push('\n');
    }
    let left = lines.len() - shown;
    if left > 0 {
        let more = format!("… and {left} more lines in a taller window, or without --watch");
        fitted.push_str(&console::truncate_str(&more, width, "…"));
        fitted.push('\n');
    }
    fitted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_cut_and_said_and_colours_take_no_room() {
        assert_eq!(fit("one\ntwo\n", (80, 24)), "one\ntwo\n");
        let painted = "\u{1b}[1mabcdefgh\u{1b}[0m";
        assert_eq!(fit(painted, (8, 24)), format!("{painted}\n"));
        assert_eq!(anstream::adapter::strip_str(&fit(painted, (5, 24))).to_string(), "abcd…\n");
        let tall = (1..=30).map(|n| format!("line {n}\n")).collect::<String>();
        let fitted = fit(&tall, (80, 24));
        assert_eq!(fitted.lines().count(), 23);
        assert!(fitted.ends_with("line 22\n… and 8 more lines in a taller window, or without --watch\n"), "{fitted}");
    }
}
