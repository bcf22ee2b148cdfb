// Tables sort by a click on a column's head: numbers as numbers, again for the other way round.
document.querySelectorAll("table.sortable").forEach((table) => {
  table.querySelectorAll("thead th").forEach((head, column) => {
    const sort = () => {
      const ascending = head.getAttribute("aria-sort") !== "ascending";
      table.querySelectorAll("thead th").forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
      const value = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent;
      const rows = [...table.tBodies[0].rows].sort((a, b) => {
        const [x, y] = [value(a), value(b)];
        const [p, q] = [x, y].map((text) => (text.trim() === "" ? NaN : Number(text)));
        return Number.isNaN(p) || Number.isNaN(q) ? x.localeCompare(y) : p - q;
      });
      table.tBodies[0].append(...(ascending ? rows : rows.reverse()));
    };
    head.tabIndex = 0;
    head.addEventListener("click", sort);
    head.addEventListener("keydown", (event) => event.key === "Enter" && sort());
  });
});
// One clip at a time.
document.addEventListener("play", (event) => {
  document.querySelectorAll("audio").forEach((audio) => audio !== event.target && audio.pause());
}, true);
