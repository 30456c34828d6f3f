// Light, dark or the system's choice, kept in this browser.

export type Theme = "system" | "light" | "dark";

const KEY = "understudy-theme";

export const theme = (): Theme => {
  const stored = localStorage.getItem(KEY);
  return stored === "light" || stored === "dark" ? stored : "system";
};

export function setTheme(chosen: Theme): void {
  if (chosen === "system") {
    localStorage.removeItem(KEY);
    delete document.documentElement.dataset.theme;
  } else {
    localStorage.setItem(KEY, chosen);
    document.documentElement.dataset.theme = chosen;
  }
}
