//! Sections of lines on a page: all of them, or as many as a window has room for.
//!
//! What the lines say, and which of them matter, is decided in [`table`](crate::table); here, which of them are shown.

use std::fmt::{self, Display, Formatter};

/// How much a line matters where there is not room for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rank {
    /// It tells of something that is held, waited for, or not empty.
    Busy,
    Idle,
}

#[derive(Clone, Debug)]
struct Line {
    text: String,
    rank: Rank,
    /// Whether it begins one of the things that are listed.
    is_row: bool,
}

/// A list under a heading.
#[derive(Clone, Debug)]
pub(crate) struct Section {
    name: &'static str,
    /// The title, and what stands above columns.
    head: Vec<String>,
    lines: Vec<Line>,
    /// How many more things there are.
    left_out: usize,
    /// How many lines it has at least, if it has so many.
    least: usize,
    /// Whether it has all that it needs before others have more than their least.
    is_urgent: bool,
}

impl Section {
    pub(crate) fn new(name: &'static str, head: Vec<String>) -> Section {
        // A row, and how many more there are.
        Section { name, head, lines: Vec::new(), left_out: 0, least: 2, is_urgent: false }
    }

    /// It goes before all others, and at least so many lines of it are shown.
    pub(crate) fn urgent(self, least: usize) -> Section {
        Section { least, is_urgent: true, ..self }
    }

    pub(crate) fn row(&mut self, rank: Rank, text: String) {
        self.lines.push(Line { text, rank, is_row: true });
    }

    /// A line that belongs to the row before it, or to the one after it.
    pub(crate) fn note(&mut self, rank: Rank, text: String) {
        self.lines.push(Line { text, rank, is_row: false });
    }

    pub(crate) fn leave_out(&mut self, count: usize) {
        self.left_out = count;
    }

    /// All of it, if it has anything.
    pub(crate) fn into_lines(self) -> Vec<String> {
        let lines = self.lines.into_iter().map(|line| line.text);
        if lines.len() == 0 { Vec::new() } else { self.head.into_iter().chain(lines).collect() }
    }

    fn is_busy(&self) -> bool {
        self.lines.iter().any(|line| line.rank == Rank::Busy)
    }

    fn least(&self) -> usize {
        self.least.min(self.lines.len())
    }

    /// How many lines it needs before others have more than their least.
    fn urgent_needs(&self) -> usize {
        if self.is_urgent { self.lines.len() } else { self.least() }
    }

    /// How many lines it needs so that all busy ones are shown.
    fn busy_needs(&self) -> usize {
        let busy = self.lines.iter().filter(|line| line.rank == Rank::Busy).count();
        (busy + 1).min(self.lines.len())
    }

    /// So many lines of it: those that matter most, in the order in which they stand, and how many rows are missing.
    fn cut(&self, room: usize) -> Vec<String> {
        let mut shown: Vec<usize> = (0..self.lines.len()).collect();
        let mut more = None;
        if shown.len() > room {
            shown.sort_by_key(|&line| self.lines[line].rank);
            let hidden = shown.split_off(room.saturating_sub(1));
            shown.sort_unstable();
            let rows = hidden.iter().filter(|&&line| self.lines[line].is_row).count();
            more = Some(if rows > 0 { format!("  … {rows} more") } else { "  …".to_owned() });
        }
        let shown = shown.into_iter().map(|line| self.lines[line].text.clone());
        shown.chain(more).collect()
    }
}

/// A line, and sections below it.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    title: String,
    sections: Vec<Section>,
}

impl Page {
    /// The names of sections tell them apart. Nothing is said of nothing: only sections that are not empty are on it.
    pub(crate) fn new(title: String, sections: impl IntoIterator<Item = Section>) -> Page {
        let sections = sections.into_iter().filter(|section| !section.lines.is_empty());
        Page { title, sections: sections.collect() }
    }

    /// As much of it as there is room for in so many lines.
    ///
    /// Empty lines go first. Column headings go where there would not be room for what is urgent and the least of each section,
    /// and then sections. What is still too much is cut from the sections that have more than their share.
    pub(crate) fn fitted(mut self, rows: usize) -> String {
        let whole = self.to_string();
        if whole.lines().count() <= rows {
            return whole;
        }
        self.sections
            .iter_mut()
            .for_each(|section| section.lines.retain(|line| !line.text.is_empty()));
        let room = rows.saturating_sub(1);
        let urgent = |section: &Section| section.urgent_needs() - section.least();
        if self.least() + self.sections.iter().map(urgent).sum::<usize>() > room {
            self.sections.iter_mut().for_each(|section| section.head.truncate(1));
        }
        let dropped = self.drop_sections(room);
        let room = room.saturating_sub(usize::from(!dropped.is_empty()));
        let mut lines = vec![self.title.clone()];
        for (section, share) in self.sections.iter().zip(self.shares(room)) {
            lines.extend(section.head.iter().cloned());
            lines.extend(section.cut(share));
        }
        if !dropped.is_empty() {
            lines.push(format!("… {}", dropped.join(", ")));
        }
        lines.truncate(rows);
        lines.iter().map(|line| format!("{line}\n")).collect()
    }

    /// How many lines its sections need at least.
    fn least(&self) -> usize {
        self.sections.iter().map(|section| section.head.len() + section.least()).sum()
    }

    /// Drops sections until the least of the others fits, those in which nothing happens first, and says which.
    fn drop_sections(&mut self, room: usize) -> Vec<&'static str> {
        let all: Vec<&str> = self.sections.iter().map(|section| section.name).collect();
        while self.least() + usize::from(self.sections.len() < all.len()) > room
            && let Some(last) = self.sections.len().checked_sub(1)
        {
            let idle = self.sections.iter().rposition(|section| !section.is_busy());
            self.sections.remove(idle.unwrap_or(last));
        }
        let is_there = |name: &&str| self.sections.iter().any(|section| section.name == *name);
        all.into_iter().filter(|name| !is_there(name)).collect()
    }

    /// How many lines each section has under its heading.
    ///
    /// Each has its least; what is left is dealt out line by line: to what is urgent, then for what is busy, then for all.
    fn shares(&self, room: usize) -> Vec<usize> {
        let mut left = room.saturating_sub(self.least());
        let mut shares: Vec<usize> = self.sections.iter().map(Section::least).collect();
        for wanted in
            [Section::urgent_needs, Section::busy_needs, |section: &Section| section.lines.len()]
        {
            while left > 0 {
                let before = left;
                for (share, section) in shares.iter_mut().zip(&self.sections) {
                    if left > 0 && *share < wanted(section) {
                        *share += 1;
                        left -= 1;
                    }
                }
                if left == before {
                    break;
                }
            }
        }
        shares
    }
}

impl Display for Page {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.title)?;
        for Section { head, lines, left_out, .. } in &self.sections {
            writeln!(f)?;
            for text in head.iter().chain(lines.iter().map(|line| &line.text)) {
                writeln!(f, "{text}")?;
            }
            if *left_out > 0 {
                writeln!(f, "  and {left_out} more")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A section of so many busy rows, each with a note, and so many idle ones.
    fn section(name: &'static str, busy: usize, idle: usize) -> Section {
        let mut section = Section::new(name, vec![name.to_owned(), format!("  {name} COLUMNS")]);
        for row in 0..busy {
            section.row(Rank::Busy, format!("  {name} busy {row}"));
            section.note(Rank::Busy, format!("  {name} note {row}"));
        }
        for row in 0..idle {
            section.row(Rank::Idle, format!("  {name} idle {row}"));
        }
        section
    }

    fn lines(sections: &[Section], rows: usize) -> Vec<String> {
        let page = Page::new("title".to_owned(), sections.iter().cloned());
        page.fitted(rows).lines().map(str::to_owned).collect()
    }

    #[test]
    fn what_has_room_is_shown_whole_and_empty_lines_go_before_anything_else() {
        let sections = [section("A", 1, 0), section("B", 0, 2)];
        let whole = ["title", "", "A", "  A COLUMNS", "  A busy 0", "  A note 0"];
        let whole = [&whole[..], &["", "B", "  B COLUMNS", "  B idle 0", "  B idle 1"]].concat();
        assert_eq!(lines(&sections, 11), whole);
        let dense: Vec<&str> = whole.into_iter().filter(|line| !line.is_empty()).collect();
        assert_eq!(lines(&sections, 10), dense);
        assert_eq!(lines(&sections, 9), dense);
    }

    #[test]
    fn each_section_has_its_share_and_what_it_does_not_need_others_have() {
        let sections = [section("A", 0, 50), section("B", 0, 1), section("C", 0, 50)];
        let shown = lines(&sections, 17);
        assert_eq!(shown.len(), 17);
        let count = |name: &str| shown.iter().filter(|line| line.contains(name)).count();
        assert_eq!((count("A idle"), count("B idle"), count("C idle")), (4, 1, 3), "{shown:#?}");
        assert_eq!(shown[7], "  … 46 more");
        assert_eq!(shown[16], "  … 47 more");
    }

    #[test]
    fn what_is_busy_goes_before_what_is_idle_in_its_section_and_in_others() {
        let mut first = section("A", 0, 10);
        first.row(Rank::Busy, "  A busy".to_owned());
        let shown = lines(&[first, section("B", 3, 3)], 13);
        assert_eq!(
            shown,
            [
                "title",
                "A",
                "  A COLUMNS",
                "  A busy",
                "  … 10 more",
                "B",
                "  B COLUMNS",
                "  B busy 0",
                "  B note 0",
                "  B busy 1",
                "  B note 1",
                "  B busy 2",
                "  … 3 more"
            ]
            .map(str::to_owned)
        );
    }

    #[test]
    fn where_it_is_narrow_headings_go_and_then_sections_in_which_nothing_happens() {
        let sections = [section("A", 5, 0), section("B", 0, 5), section("C", 5, 0)];
        let shown = lines(&sections, 10);
        let expected = ["title", "A", "  A busy 0", "  … 4 more", "B", "  B idle 0", "  … 4 more"];
        assert_eq!(shown[..7], expected.map(str::to_owned));
        assert_eq!(lines(&sections, 9).last().unwrap(), "… B");
        assert_eq!(lines(&sections, 6).last().unwrap(), "… B, C");
        assert_eq!(lines(&sections, 2), ["title", "… A, B, C"]);
        assert_eq!(lines(&sections, 1), ["title"]);
        assert_eq!(lines(&sections, 0), [""; 0]);
    }

    #[test]
    fn what_is_urgent_has_all_it_needs_when_the_others_have_a_row() {
        let sections = [section("A", 0, 30), section("B", 3, 0).urgent(4), section("C", 9, 9)];
        let shown = lines(&sections, 17);
        let of = |name: &str| shown.iter().filter(|line| line.contains(name)).count();
        assert_eq!((of("A idle"), of("C busy")), (1, 1), "{shown:#?}");
        assert_eq!((of("B busy"), of("B note")), (3, 3), "{shown:#?}");
    }

    proptest! {
        #[test]
        fn it_never_has_more_lines_than_there_are_and_none_too_few(
            sizes in prop::collection::vec((0_usize..20, 0_usize..20), 0..7), rows in 0_usize..60,
        ) {
            let sizes = sizes.into_iter().zip(["A", "B", "C", "D", "E", "F", "G"]);
            let sections: Vec<Section> =
                sizes.map(|((busy, idle), name)| section(name, busy, idle)).collect();
            let page = Page::new("title".to_owned(), sections.iter().cloned());
            let whole = page.to_string();
            let shown = lines(&sections, rows);
            prop_assert!(shown.len() <= rows);
            if whole.lines().count() <= rows {
                prop_assert_eq!(shown, whole.lines().collect::<Vec<_>>());
            } else if rows > 3 * sections.len() {
                let rows = |line: &&String| line.contains("busy") || line.contains("idle");
                let titles = shown.iter().filter(|line| line.len() == 1).count();
                prop_assert_eq!(titles, page.sections.len(), "no section is missing");
                prop_assert!(shown.iter().filter(rows).count() >= titles);
            }
        }
    }
}
