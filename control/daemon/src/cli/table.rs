//! A small table printer: a header, rows, columns as wide as their widest cell.
//!
//! No colour and no rulers, so that the output reads as well in a log as on a terminal and can be
//! cut by columns. The last column is not padded.

use std::fmt;

const GAP: &str = "  ";

/// How the cells of a column are set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Align {
    Left,
    Right,
}

/// Rows under a header, printed by `Display` with aligned columns.
#[derive(Debug)]
pub(super) struct Table {
    header: Vec<String>,
    align: Vec<Align>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Begins a table with these column names.
    pub(super) fn new<const N: usize>(header: [&str; N]) -> Self {
        Self {
            header: header.iter().map(|name| (*name).to_owned()).collect(),
            align: vec![Align::Left; N],
            rows: Vec::new(),
        }
    }

    /// Sets the named columns flush right, as numbers read best.
    pub(super) fn right(mut self, names: &[&str]) -> Self {
        for (name, align) in self.header.iter().zip(&mut self.align) {
            if names.contains(&name.as_str()) {
                *align = Align::Right;
            }
        }
        self
    }

    /// Adds a row. An empty cell prints as `-`, so that columns can be told apart.
    pub(super) fn row<const N: usize>(&mut self, cells: [String; N]) {
        debug_assert_eq!(
            N,
            self.header.len(),
            "a row has as many cells as the header has names"
        );
        let cells = cells.into_iter();
        self.rows.push(
            cells
                .map(|cell| {
                    if cell.is_empty() {
                        "-".to_owned()
                    } else {
                        cell
                    }
                })
                .collect(),
        );
    }

    fn widths(&self) -> Vec<usize> {
        let mut widths = vec![0; self.header.len()];
        for row in std::iter::once(&self.header).chain(&self.rows) {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        widths
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        for row in std::iter::once(&self.header).chain(&self.rows) {
            let last = row.len().saturating_sub(1);
            for (at, ((cell, &width), align)) in
                row.iter().zip(&widths).zip(&self.align).enumerate()
            {
                if at > 0 {
                    f.write_str(GAP)?;
                }
                match align {
                    Align::Right => write!(f, "{cell:>width$}")?,
                    Align::Left if at == last => f.write_str(cell)?,
                    Align::Left => write!(f, "{cell:<width$}")?,
                }
            }
            f.write_str("\n")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(["PORT", "FRAMES", "STATE"]).right(&["FRAMES"]);
        table.row(["nic/vm0".to_owned(), "7".to_owned(), "attached".to_owned()]);
        table.row([
            "internet".to_owned(),
            "1234567".to_owned(),
            "attached".to_owned(),
        ]);
        assert_eq!(
            table.to_string(),
            "PORT       FRAMES  STATE\n\
             nic/vm0         7  attached\n\
             internet  1234567  attached\n"
        );
    }

    #[test]
    fn no_line_ends_in_blanks_and_empty_cells_show() {
        let mut table = Table::new(["A", "B"]);
        table.row(["x".to_owned(), String::new()]);
        table.row(["longer".to_owned(), "y".to_owned()]);
        assert_eq!(table.to_string(), "A       B\nx       -\nlonger  y\n");
        assert!(
            table
                .to_string()
                .lines()
                .all(|line| line.trim_end() == line)
        );
    }

    #[test]
    fn a_table_without_rows_is_its_header() {
        assert_eq!(Table::new(["NAME", "KIND"]).to_string(), "NAME  KIND\n");
    }

    #[test]
    fn width_counts_characters_not_bytes() {
        let mut table = Table::new(["NAME", "X"]);
        table.row(["größe".to_owned(), "1".to_owned()]);
        assert_eq!(table.to_string(), "NAME   X\ngröße  1\n");
    }
}
