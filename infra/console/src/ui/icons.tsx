// Icons of the navigation: 16 px, one stroke.

import type { ReactNode } from "react";

const icon = (children: ReactNode) => () => (
  <svg
    viewBox="0 0 16 16"
    fill="none"
    stroke="currentColor"
    strokeWidth="1.4"
    strokeLinecap="round"
    strokeLinejoin="round"
    aria-hidden="true"
  >
    {children}
  </svg>
);

export const Mask = () => (
  <svg viewBox="0 0 20 20" fill="none" stroke="currentColor" strokeLinecap="round" aria-hidden="true">
    <path d="M3 3h14v5a7 7 0 0 1-14 0z" strokeWidth="1.6" strokeLinejoin="round" />
    <path d="M7.2 7.2h.01M12.8 7.2h.01" strokeWidth="2" />
    <path d="M7.5 10.5c1.4 1.3 3.6 1.3 5 0" strokeWidth="1.4" />
  </svg>
);
export const BoardIcon = icon(<path d="M2 3.5h12M2 8h12M2 12.5h12M5 2v3M10 6.5v3M7 11v3" />);
export const RequestsIcon = icon(<path d="M5.5 4h8.5M5.5 8h8.5M5.5 12h8.5M2.2 4h.1M2.2 8h.1M2.2 12h.1" />);
export const LettersIcon = icon(<path d="M2 4h12v8.5H2zM2 4.5l6 4.5 6-4.5" />);
export const ReplaysIcon = icon(<path d="M13.5 8A5.5 5.5 0 1 1 11.6 3.8M13.5 2v3h-3M6.8 5.8v4.4L10 8z" />);
export const CompareIcon = icon(<path d="M8 2v12M5.5 4H2v8h3.500M10.500 4H14v8h-3.500" />);
export const ExperimentsIcon = icon(
  <path d="M8 14V9.500L3.500 5V2M8 9.500L12.500 5V2M2 3.500L3.500 2 5 3.500M11 3.500L12.500 2 14 3.500" />,
);
export const ReviewIcon = icon(
  <path d="M8 2l1.800 3.700 4 .6-2.900 2.800.7 4L8 11.200 4.400 13.100l.7-4L2.200 6.300l4-.6z" />,
);
export const NodesIcon = icon(<path d="M2 6h4v4H2zM10 2h4v4h-4zM10 10h4v4h-4zM6 8h2V4h2M8 8v4h2" />);
export const HealthIcon = icon(<path d="M1.500 8.500h3L6.500 4l3 8 2-4.500h3" />);
export const TelemetryIcon = icon(<path d="M2 13.500h12M3.500 11V8M7 11V4M10.500 11V6.500M13.500 11V3" />);
export const SettingsIcon = icon(
  <path d="M2 4.500h6M12 4.500h2M2 11.500h2M8 11.500h6M10 2.800a1.700 1.700 0 1 0 0 3.400 1.700 1.700 0 0 0 0-3.400zM6 9.800a1.700 1.700 0 1 0 0 3.400 1.700 1.700 0 0 0 0-3.400z" />,
);
