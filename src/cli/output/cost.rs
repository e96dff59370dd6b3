//! `labguard cost`: what sessions cost, over time and part by part, with bars to compare them by.

use super::{
    BOLD, DIM, GOOD, Look, NOTICE,
    chart::Canvas,
    columns::{Cell, table},
};
use crate::domain::model::{Basis, Bucket, CostReport, Cut, Money, Slice, Timestamp};

/// More parts than these are told as one.
const MOST_PARTS: usize = 20;
/// More empty stretches in a row than these are told as one.
const MOST_EMPTY: usize = 2;

/// The whole report.
#[must_use]
pub fn report(look: Look, canvas: Canvas, report: &CostReport) -> String {
    let mut text = format!("{}\n", look.paint(BOLD, &heading(report)));
    if report.basis > Basis::Imported {
        let line = format!("not all of it by AWS's own prices:{}", report.basis.remark());
        text.push_str(&format!("{}\n", look.paint(NOTICE, &line)));
    }
    if report.shares.is_empty() {
        return text;
    }
    text.push('\n');
    text.push_str(&over_time(look, canvas, report));
    text.push('\n');
    text.push_str(&parts(look, canvas, report));
    text
}

fn heading(report: &CostReport) -> String {
    let exact = |at: Timestamp| {
        let format = if Bucket::Day.begin(at, report.zone) == at { "%Y-%m-%d" } else { "%Y-%m-%d %H:%M" };
        report.zone.written(at, format)
    };
    let sessions = match report.sessions {
        0 => "no session cost anything".to_owned(),
        1 => format!("{} in 1 session", report.total.exact()),
        many => format!("{} in {many} sessions", report.total.exact()),
    };
    let live = match report.live {
        0 => String::new(),
        1 if report.sessions == 1 => "; it goes on".to_owned(),
        1 => "; one of them goes on".to_owned(),
        many => format!("; {many} of them go on"),
    };
    format!("{} to {} ({}): {sessions}{live}", exact(report.since), exact(report.until), report.zone)
}

fn over_time(look: Look, canvas: Canvas, report: &CostReport) -> String {
    let most = report.slices.iter().map(|slice| slice.amount).max().unwrap_or_default();
    let format = match report.bucket {
        Bucket::Hour => "%Y-%m-%d %H:%M",
        Bucket::Day => "%Y-%m-%d",
        Bucket::Month => "%Y-%m",
    };
    let mut rows = Vec::new();
    let label = |slice: &Slice| report.zone.written(slice.from, format);
    let widest = report.slices.iter().map(|slice| slice.amount.to_string().chars().count()).max().unwrap_or_default();
    let room = canvas.room(label(&report.slices[0]).chars().count().max(6) + widest + 4);
    let runs = report.slices.chunk_by(|one, next| (one.amount == Money::ZERO) == (next.amount == Money::ZERO));
    for run in runs {
        if run[0].amount == Money::ZERO && run.len() > MOST_EMPTY {
            let gap = format!("nothing for {} {}s", run.len(), report.bucket.name());
            rows.push(vec![label(&run[0]).into(), Cell::new("…").styled(DIM).right(), Cell::new(gap).styled(DIM)]);
            continue;
        }
        for slice in run {
            let bar = Cell::new(canvas.bar(slice.amount, most, room)).styled(GOOD);
            rows.push(vec![label(slice).into(), Cell::new(slice.amount.to_string()).right(), bar]);
        }
    }
    table(look, &[report.bucket.name(), "cost", ""], &rows)
}

fn parts(look: Look, canvas: Canvas, report: &CostReport) -> String {
    let most = report.shares.iter().map(|share| share.amount).max().unwrap_or_default();
    let name = |name: &str| match name {
        "" if report.by == Cut::Group => "(no group)".to_owned(),
        "" => "(nobody)".to_owned(),
        name => name.to_owned(),
    };
    // An item says by itself what its price is.
    let remark = |basis: Basis| if report.by == Cut::Item { "" } else { basis.remark() };
    let shown = &report.shares[..report.shares.len().min(MOST_PARTS)];
    let widest = |texts: &mut dyn Iterator<Item = String>| texts.map(|text| text.chars().count()).max().unwrap_or(0);
    let names = widest(&mut shown.iter().map(|share| name(&share.name)));
    let amounts = widest(&mut shown.iter().map(|share| share.amount.to_string()));
    let remarks = widest(&mut shown.iter().map(|share| remark(share.basis).to_owned()));
    // Beside them: the part of the whole, and how many sessions.
    let room = canvas.room(names.max(8) + amounts + remarks + 6 + 10 + 6);
    let mut rows: Vec<Vec<Cell>> = shown
        .iter()
        .map(|share| {
            let bar = Cell::new(canvas.bar(share.amount, most, room)).styled(GOOD);
            vec![
                name(&share.name).into(),
                Cell::new(share.sessions.to_string()).right(),
                Cell::new(share.amount.to_string()).right(),
                Cell::new(percent(share.amount, report.total)).right(),
                bar,
                Cell::new(remark(share.basis).trim_start()).styled(NOTICE),
            ]
        })
        .collect();
    if let [.., _] = &report.shares[shown.len()..] {
        let rest = &report.shares[shown.len()..];
        let amount: Money = rest.iter().map(|share| share.amount).sum();
        let cells =
            [format!("and {} more", rest.len()), String::new(), amount.to_string(), percent(amount, report.total)];
        let [label, none, amount, part] = cells;
        rows.push(vec![Cell::new(label).styled(DIM), none.into(), Cell::new(amount).right(), Cell::new(part).right()]);
    }
    if report.by == Cut::Session {
        rows.iter_mut().for_each(|row| drop(row.remove(1)));
        return table(look, &["session", "cost", "", "", ""], &rows);
    }
    table(look, &[report.by.name(), "sessions", "cost", "", "", ""], &rows)
}

/// `62 %`, rounded; what is more than nothing is not called nothing.
fn percent(amount: Money, total: Money) -> String {
    let (amount, total) = (i128::from(amount.nanos()), i128::from(total.nanos()));
    match (amount * 200 + total).checked_div(total * 2) {
        Some(0) if amount > 0 => "<1 %".to_owned(),
        Some(percent) => format!("{percent} %"),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::fake,
        domain::model::{CostQuery, Span},
    };

    #[test]
    fn a_report_reads_like_this() {
        let expected = "\
2026-11-21 to 2026-11-22 14:00 (UTC): 0.50 USD in 2 sessions; one of them goes on
not all of it by AWS's own prices: (price estimated)

day               cost
2026-11-21  0.3000 USD  ########################################################
2026-11-22  0.2000 USD  ######################################

session                cost
preview-3fmxta   0.4000 USD  80 %  ##############  (price estimated)
admission-7k2m9q 0.1000 USD  20 %  ####
";
        let written = report(Look::PLAIN, Canvas::PLAIN, &fake::report(&CostQuery::default()));
        let squeeze = |text: &str| text.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
        assert_eq!(squeeze(&written), squeeze(expected), "{written}");
        assert!(written.lines().all(|line| line.chars().count() <= 82), "{written}");
    }

    #[test]
    fn on_a_terminal_bars_are_blocks_within_its_width() {
        let (look, canvas) = (Look { terminal: true, color: false }, Canvas { width: 60, unicode: true });
        let written = report(look, canvas, &fake::report(&CostQuery { by: Cut::Owner, ..CostQuery::default() }));
        assert!(written.contains('█') && !written.contains('#'), "{written}");
        let bars = written.lines().filter(|line| line.contains('█') && !line.contains("estimated"));
        assert!(bars.map(|line| line.chars().count()).all(|wide| wide <= 60), "{written}");
        assert!(written.contains("owner"), "{written}");
    }

    #[test]
    fn long_gaps_and_long_tails_are_told_in_one_line() {
        let mut long = fake::report(&CostQuery::default());
        let day = Span::from_mins(24 * 60);
        let empty = Slice { from: long.since, until: long.since, amount: Money::ZERO, shares: vec![] };
        for _ in 0..5 {
            long.since = long.since - day;
            long.slices.insert(0, Slice { from: long.since, until: long.since + day, ..empty.clone() });
        }
        long.shares = vec![long.shares[1].clone(); 25];
        let written = report(Look::PLAIN, Canvas::PLAIN, &long);
        assert!(written.contains("nothing for 5 days"), "{written}");
        assert!(written.contains("and 5 more"), "{written}");
    }

    #[test]
    fn nothing_is_told_as_nothing() {
        let mut none = fake::report(&CostQuery::default());
        (none.shares, none.sessions, none.live, none.total, none.basis) = (vec![], 0, 0, Money::ZERO, Basis::Published);
        let written = report(Look::PLAIN, Canvas::PLAIN, &none);
        assert_eq!(written, "2026-11-21 to 2026-11-22 14:00 (UTC): no session cost anything\n");
    }
}
