// Figures and times as text.

const whole = new Intl.NumberFormat("en");

export const count = (value: number): string => whole.format(value);

/** Milliseconds: `840 µs`, `12 ms`, `3.91 s`, `2 min 05 s`. */
export function duration(ms: number | null | undefined): string {
  if (ms === null || ms === undefined || Number.isNaN(ms)) return "–";
  if (ms < 1) return `${Math.round(ms * 1000)} µs`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`;
  if (ms < 3_600_000) return `${Math.floor(ms / 60_000)} min ${pad(Math.floor((ms % 60_000) / 1000))} s`;
  return `${Math.floor(ms / 3_600_000)} h ${pad(Math.floor((ms % 3_600_000) / 60_000))} min`;
}

export function percent(share: number | null | undefined): string {
  if (share === null || share === undefined || Number.isNaN(share)) return "–";
  return `${(share * 100).toFixed(1)} %`;
}

const pad = (value: number): string => String(value).padStart(2, "0");

/** Time of day, with the date where it is not today. */
export function clock(ms: number | string | null | undefined): string {
  if (ms === null || ms === undefined) return "–";
  const date = new Date(ms);
  const time = `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}`;
  if (date.toDateString() === new Date().toDateString()) return time;
  return `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())} ${time}`;
}

/** A long id by its end, which differs between neighbours. */
export const shortId = (id: string): string => (id.length > 14 ? `…${id.slice(-8)}` : id);

/** A sentence's first letter as a capital. */
export const sentence = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);
