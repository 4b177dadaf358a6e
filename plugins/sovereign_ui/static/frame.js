// Airflow shows these pages in a sandboxed frame. This gives them its light or dark, and working links out.
"use strict";

function followTheme() {
  const theme = localStorage.getItem("theme"); // where Airflow keeps the choice; "system" or nothing is the machine's
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
}

followTheme();
addEventListener("storage", followTheme);

// The sandbox lets no link leave the frame, so Airflow's own window follows it instead.
addEventListener("click", (event) => {
  const link = event.target.closest("a[target]");
  if (!link || window === window.top) return;
  event.preventDefault();
  const twin = window.top.document.createElement("a");
  twin.href = link.href;
  twin.target = event.ctrlKey || event.metaKey ? "_blank" : link.target;
  twin.rel = "noopener noreferrer";
  window.top.document.body.append(twin);
  twin.click();
  twin.remove();
});
