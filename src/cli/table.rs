//! Text in columns.

/// A row of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Row<const COLUMNS: usize> {
    /// One cell for each column.
    Full([String; COLUMNS]),
    /// Cells for the first columns, and a text that takes the room of the others.
    Remark(Vec<String>, String),
}

/// The rows under each other, the columns two spaces apart. The columns from `numbers` on are numbers, flush right.
pub(crate) fn table<const COLUMNS: usize>(head: [&str; COLUMNS], numbers: usize, rows: &[Row<COLUMNS>]) -> String {
    let mut widths = head.map(str::len);
    for row in rows {
        let cells = match row {
            Row::Full(cells) => cells.as_slice(),
            Row::Remark(cells, _) => cells.as_slice(),
        };
        for (width, cell) in widths.iter_mut().zip(cells) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: &[String], remark: &str| {
        let aligned =
            cells.iter().zip(widths).enumerate().map(|(column, (cell, width))| {
                if column < numbers { format!("{cell:width$}") } else { format!("{cell:>width$}") }
            });
        let line = aligned.chain([remark.to_owned()]).collect::<Vec<_>>().join("  ");
        format!("{}\n", line.trim_end())
    };
    let body = rows.iter().map(|row| match row {
        Row::Full(cells) => line(cells, ""),
        Row::Remark(cells, remark) => line(cells, remark),
    });
    std::iter::once(line(&head.map(str::to_owned), "")).chain(body).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_what_is_in_them_and_remarks_take_what_room_they_need() {
        let cells = |cells: [&str; 2]| cells.map(str::to_owned);
        let rows = [
            Row::Full(cells(["é", "1"])),
            Row::Full(cells(["long name", "1000"])),
            Row::Remark(vec!["x".to_owned()], "is gone".to_owned()),
        ];
        assert_eq!(table(["name", "n"], 1, &rows), "name          n\né             1\nlong name  1000\nx          is gone\n");
    }
}
