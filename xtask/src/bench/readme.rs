//! The table of README.md: which row a case has there, and how new figures come into it.
//!
//! `bench/src/rows.md` says what stands in a row beside its figures. A row is known by that and by its place, for it may
//! say no more than "the same".

use std::collections::HashMap;

const MARKER: &str = "<!-- measured -->\n";
/// The lines of a table ahead of its rows.
const HEAD_LINES: usize = 2;
const ROWS: &str = include_str!("../../../bench/src/rows.md");

/// What stands in the row of a case beside its figures.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Row<'a> {
    case: &'a str,
    what: &'a str,
    other: &'a str,
}

/// The text with the table in it.
struct Page<'a> {
    /// All ahead of the rows.
    before: &'a str,
    rows: Vec<&'a str>,
    after: &'a str,
}

/// Whether the table is there and each of its rows is that of a case, in the order of the cases.
pub(crate) fn check(text: &str) -> Result<(), String> {
    in_place(&rows_of(ROWS), &Page::parse(text)?.rows).map(drop)
}

/// The text with the figures that the benchmarks have printed. A row of a case that was not measured stays, and one that
/// was missing comes to its place.
pub(crate) fn with_figures(text: &str, printed: &str) -> Result<String, String> {
    filled(text, &rows_of(ROWS), printed)
}

fn filled(text: &str, rows: &[Row<'_>], printed: &str) -> Result<String, String> {
    let Page { before, rows: old, after } = Page::parse(text)?;
    let figures = figures(printed);
    if !rows.iter().any(|row| figures.contains_key(row.case)) {
        return Err("nothing was measured that README.md has a row for".to_owned());
    }
    let mut table = String::new();
    for (row, old) in rows.iter().zip(in_place(rows, &old)?) {
        let new = figures.get(row.case).map(|figures| row.with(figures));
        if let Some(line) = new.or(old.map(str::to_owned)) {
            table += &(line + "\n");
        }
    }
    Ok(format!("{before}{table}{after}"))
}

impl Row<'_> {
    fn with(&self, figures: &[&str]) -> String {
        format!("| {} | {} | {} |", self.what, figures.join(" | "), self.other)
    }

    fn is(&self, line: &str) -> bool {
        let cells = cells(line);
        cells.first() == Some(&self.what) && cells.last() == Some(&self.other)
    }
}

impl Page<'_> {
    fn parse(text: &str) -> Result<Page<'_>, String> {
        let marker = text.find(MARKER);
        let marker = marker.ok_or_else(|| format!("README.md has no line {}", MARKER.trim()))?;
        let table = &text[marker + MARKER.len()..];
        let mut lines = table.split_inclusive('\n').take_while(|line| line.starts_with('|'));
        let head_len: usize = lines.by_ref().take(HEAD_LINES).map(str::len).sum();
        if head_len == 0 {
            return Err(format!("README.md has no table below {}", MARKER.trim()));
        }
        let rows: Vec<&str> = lines.collect();
        let begin = marker + MARKER.len() + head_len;
        let end = begin + rows.iter().map(|row| row.len()).sum::<usize>();
        let rows = rows.into_iter().map(str::trim_end).collect();
        Ok(Page { before: &text[..begin], rows, after: &text[end..] })
    }
}

/// The line that each row has now, if it has one.
fn in_place<'a>(rows: &[Row<'_>], lines: &[&'a str]) -> Result<Vec<Option<&'a str>>, String> {
    let mut lines = lines.iter().copied().peekable();
    let placed = rows.iter().map(|row| lines.next_if(|line| row.is(line))).collect();
    match lines.next() {
        None => Ok(placed),
        Some(line) => Err(format!("README.md has a row that no case has there: {line}")),
    }
}

/// The rows that are shown: those of the cases that have words.
fn rows_of(table: &str) -> Vec<Row<'_>> {
    let cells = table.lines().filter(|line| line.starts_with('|')).map(cells).skip(HEAD_LINES);
    let rows = cells.filter_map(|cells| match cells[..] {
        [case, what, other] => Some(Row { case, what, other }),
        _ => None,
    });
    rows.filter(|row| !row.what.is_empty()).collect()
}

/// Ours, the other's, ratio and spread, by case. A case that was skipped has none.
fn figures(printed: &str) -> HashMap<&str, [&str; 4]> {
    let figures = printed.lines().filter_map(|line| match cells(line)[..] {
        [case, ours, other, ratio, spread, _] => Some((case, [ours, other, ratio, spread])),
        _ => None,
    });
    figures.filter(|(_, figures)| figures[0] != "-").collect()
}

fn cells(line: &str) -> Vec<&str> {
    let line = line.trim();
    let line = line.strip_prefix('|').unwrap_or(line);
    line.strip_suffix('|').unwrap_or(line).split('|').map(str::trim).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const README: &str = include_str!("../../../README.md");
    const CASES: &str = include_str!("../../../bench/src/main.rs");

    const TABLE: &str = "\
| case | what | other is |
|---|---|---|
| start/floor | a start | `posix_spawn` |
| start/other | | |
| queue/a | a queue | the one |
| queue/b | the same | the other |
| pool/b | the same | the other |
";
    const PAGE: &str = "\
# Title

<!-- measured -->
| what | ours | other | ratio | spread | other is |
|---|---|---|---|---|---|
| a start | 1 ms | 2 ms | 2.00 x faster | 1.00 to 3.00 | `posix_spawn` |
| the same | 3 ns | 4 ns | 0.75 of other | 0.70 to 0.80 | the other |

On some machine.
| not | this |
";

    fn measured(cases: &[&str]) -> String {
        let rows = cases.iter().map(|case| {
            format!("{case:<33} |    5.00 ms |  6.0 ms |  0.83 of other |   0.80 to 0.90 | <= 2: holds\n")
        });
        let head = "commit  0123\n\ncase | ours | other | ratio | spread | wanted\n--- | --- | --- | --- | --- | ---\n";
        head.to_owned() + &rows.collect::<String>()
    }

    #[test]
    fn rows_are_filled_and_added_in_the_order_of_the_cases_and_the_rest_is_left_alone() {
        let printed = measured(&["pool/b", "start/other", "queue/a", "start/floor"]);
        let figures = "5.00 ms | 6.0 ms | 0.83 of other | 0.80 to 0.90";
        let expected = PAGE
            .replace("1 ms | 2 ms | 2.00 x faster | 1.00 to 3.00", figures)
            .replace("| the same |", &format!("| a queue | {figures} | the one |\n| the same |"))
            .replace("\n\nOn some", &format!("\n| the same | {figures} | the other |\n\nOn some"));
        assert_eq!(filled(PAGE, &rows_of(TABLE), &printed), Ok(expected));
    }

    #[test]
    fn a_case_that_was_skipped_keeps_its_row() {
        let skipped = "start/floor | - | - | - | - | >= 2: skipped, no memory\n";
        let printed = measured(&["queue/b"]) + skipped;
        let filled = filled(PAGE, &rows_of(TABLE), &printed).unwrap();
        assert!(filled.contains("\n| a start | 1 ms | 2 ms |"), "{filled}");
        assert!(filled.contains("\n| the same | 5.00 ms |"), "{filled}");
    }

    #[test]
    fn a_page_without_the_marker_or_the_table_is_refused() {
        let fill = |page: &str| filled(page, &rows_of(TABLE), &measured(&["queue/a"]));
        assert!(fill(PAGE).is_ok());
        assert!(fill(&PAGE.replace(MARKER, "")).unwrap_err().contains("<!-- measured -->"));
        assert!(fill("<!-- measured -->\n\n| some | other |\n").is_err());
    }

    #[test]
    fn a_row_of_no_case_or_out_of_order_is_refused() {
        let fill = |page: &str| filled(page, &rows_of(TABLE), &measured(&["queue/a"]));
        let unknown = PAGE.replace("| a start |", "| a stop |");
        assert!(fill(&unknown).unwrap_err().contains("| a stop |"));
        let late =
            PAGE.replace("\n\nOn some", "\n| a start | 1 | 2 | 3 | 4 | `posix_spawn` |\n\nOn some");
        assert!(fill(&late).unwrap_err().contains("| a start | 1 |"));
    }

    #[test]
    fn what_has_no_row_is_not_written() {
        assert!(filled(PAGE, &rows_of(TABLE), &measured(&["start/other"])).is_err());
    }

    #[test]
    fn every_case_of_the_benchmarks_has_its_line_in_the_list_of_rows() {
        let literals = CASES.split('"').skip(1).step_by(2);
        let cases: Vec<&str> =
            literals.filter(|text| text.contains('/') && !text.contains(' ')).collect();
        let lines = ROWS.lines().filter(|line| line.starts_with('|')).skip(HEAD_LINES);
        let listed: Vec<&str> = lines.map(|line| cells(line)[0]).collect();
        assert!(cases.len() > 10, "{cases:?}");
        assert_eq!(cases, listed);
    }

    #[test]
    fn the_table_of_the_readme_has_the_rows_of_the_benchmarks() {
        let rows = rows_of(ROWS);
        let placed = in_place(&rows, &Page::parse(README).unwrap().rows).unwrap();
        for (row, line) in rows.iter().zip(placed) {
            assert!(line.is_some(), "{row:?} is missing");
        }
    }
}
