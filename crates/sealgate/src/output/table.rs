//! Tables: as wide as they need to be, and on a terminal no wider than it is.

use std::io;

use super::{Output, Style, print_line, shown};

/// Between two columns.
const GAP: usize = 2;
/// A column that gives way keeps so many characters.
const LEAST: usize = 12;

/// A column, and what becomes of it when the terminal is narrow.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    title: &'static str,
    /// The higher, the sooner it is left out; 0 for never.
    dispensable: u8,
    /// Whether its texts may be cut.
    gives_way: bool,
}

impl Column {
    /// A column that is always there in full.
    #[must_use]
    pub const fn new(title: &'static str) -> Self {
        Self {
            title,
            dispensable: 0,
            gives_way: false,
        }
    }

    /// A column that is left out if need be; the highest number goes first.
    #[must_use]
    pub const fn dispensable(mut self, rank: u8) -> Self {
        self.dispensable = rank;
        self
    }

    /// A column whose texts may be cut.
    #[must_use]
    pub const fn gives_way(mut self) -> Self {
        self.gives_way = true;
        self
    }
}

/// Rows under titles.
#[derive(Debug)]
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<(Style, String)>>,
}

impl Table {
    /// A table without rows.
    #[must_use]
    pub fn new(columns: &[Column]) -> Self {
        Self {
            columns: columns.to_vec(),
            rows: Vec::new(),
        }
    }

    /// Adds a row: one text for each column.
    pub fn row<const N: usize>(&mut self, cells: [(Style, String); N]) {
        debug_assert_eq!(N, self.columns.len(), "a cell for each column");
        let cells = cells.map(|(style, text)| (style, shown(&text)));
        self.rows.push(cells.into());
    }

    /// Prints the titles and rows.
    ///
    /// # Errors
    /// If standard output is closed.
    pub fn print(&self, output: &Output) -> io::Result<()> {
        let widths = self.widths(output.width());
        let titles = self
            .columns
            .iter()
            .map(|column| (Style::Strong, column.title));
        print_line(line(titles, &widths, output))?;
        for row in &self.rows {
            let cells = row.iter().map(|(style, text)| (*style, text.as_str()));
            print_line(line(cells, &widths, output))?;
        }
        Ok(())
    }

    /// How wide each column is shown; nothing for one that is left out.
    fn widths(&self, available: Option<usize>) -> Vec<Option<usize>> {
        let widest = |(place, column): (usize, &Column)| {
            let texts = self.rows.iter().map(|row| row[place].1.chars().count());
            Some(
                texts
                    .chain([column.title.chars().count()])
                    .max()
                    .unwrap_or(0),
            )
        };
        let mut widths: Vec<Option<usize>> = self.columns.iter().enumerate().map(widest).collect();
        let Some(available) = available else {
            return widths;
        };
        loop {
            let excess = total(&widths).saturating_sub(available);
            if excess == 0 || !(self.narrow(&mut widths, excess) || self.leave_out(&mut widths)) {
                return widths;
            }
        }
    }

    /// Takes the excess from the widest column that gives way, if that is enough or can help at all.
    fn narrow(&self, widths: &mut [Option<usize>], excess: usize) -> bool {
        let spare: usize = self.spare(widths).map(|(_, spare)| spare).sum();
        if spare < excess
            && self
                .columns
                .iter()
                .zip(&*widths)
                .any(|(c, w)| c.dispensable > 0 && w.is_some())
        {
            return false;
        }
        let widest = self.spare(widths).max_by_key(|(_, spare)| *spare);
        let Some((place, spare)) = widest.filter(|(_, spare)| *spare > 0) else {
            return false;
        };
        widths[place] = widths[place].map(|width| width - spare.min(excess));
        true
    }

    fn spare<'a>(
        &'a self,
        widths: &'a [Option<usize>],
    ) -> impl Iterator<Item = (usize, usize)> + 'a {
        let columns = self.columns.iter().zip(widths).enumerate();
        columns
            .filter(|(_, (column, _))| column.gives_way)
            .map(|(place, (_, width))| (place, width.unwrap_or(0).saturating_sub(LEAST)))
    }

    fn leave_out(&self, widths: &mut [Option<usize>]) -> bool {
        let columns = self.columns.iter().zip(widths);
        let first = columns
            .filter(|(column, width)| column.dispensable > 0 && width.is_some())
            .max_by_key(|(column, _)| column.dispensable);
        first.map(|(_, width)| *width = None).is_some()
    }
}

fn total(widths: &[Option<usize>]) -> usize {
    let shown = widths.iter().flatten();
    shown.clone().sum::<usize>() + GAP * shown.count().saturating_sub(1)
}

fn line<'a>(
    cells: impl Iterator<Item = (Style, &'a str)>,
    widths: &[Option<usize>],
    output: &Output,
) -> String {
    let mut out = String::new();
    let mut padding = 0;
    for ((style, text), width) in cells.zip(widths) {
        let Some(width) = *width else {
            continue;
        };
        let text = cut(text, width);
        out.extend(std::iter::repeat_n(' ', padding));
        out.push_str(&output.paint(style, &text));
        padding = width - text.chars().count() + GAP;
    }
    out
}

fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept = text.chars().take(width.saturating_sub(1));
    kept.chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&[
            Column::new("PREFIX"),
            Column::new("NAME").gives_way(),
            Column::new("USED").dispensable(1),
            Column::new("ID").dispensable(2),
        ]);
        let cell = |text: &str| (Style::Plain, text.to_owned());
        table.row([
            cell("TcE8hG4L"),
            cell(&"n".repeat(30)),
            cell("never"),
            cell(&"i".repeat(36)),
        ]);
        table
    }

    #[test]
    fn off_a_terminal_nothing_is_cut() {
        assert_eq!(table().widths(None), [Some(8), Some(30), Some(5), Some(36)]);
    }

    #[test]
    fn a_table_fits_its_terminal() {
        assert_eq!(
            table().widths(Some(85)),
            [Some(8), Some(30), Some(5), Some(36)]
        );
        assert_eq!(
            table().widths(Some(80)),
            [Some(8), Some(25), Some(5), Some(36)]
        );
        assert_eq!(table().widths(Some(50)), [Some(8), Some(30), Some(5), None]);
        assert_eq!(table().widths(Some(25)), [Some(8), Some(15), None, None]);
        for width in 22..90 {
            assert!(total(&table().widths(Some(width))) <= width);
        }
    }

    #[test]
    fn a_cut_text_says_so() {
        assert_eq!(cut("Schlüssel", 9), "Schlüssel");
        assert_eq!(cut("Schlüssel", 5), "Schl…");
    }
}
