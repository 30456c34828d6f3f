// The screens, as the navigation, the palette and the shortcuts know them.

import type { ComponentType } from "react";
import {
  BoardIcon,
  CompareIcon,
  ExperimentsIcon,
  HealthIcon,
  LettersIcon,
  NodesIcon,
  ReplaysIcon,
  RequestsIcon,
  ReviewIcon,
  SettingsIcon,
  TelemetryIcon,
} from "../ui/icons";

export interface Place {
  path: string;
  name: string;
  /** Pressed after `g`. */
  key: string;
  icon: ComponentType;
}

export const PLACES: Place[] = [
  { path: "/", name: "Board", key: "b", icon: BoardIcon },
  { path: "/requests", name: "Requests", key: "r", icon: RequestsIcon },
  { path: "/dead", name: "Dead letters", key: "d", icon: LettersIcon },
  { path: "/replays", name: "Replays", key: "p", icon: ReplaysIcon },
  { path: "/compare", name: "Compare", key: "c", icon: CompareIcon },
  { path: "/experiments", name: "Experiments", key: "e", icon: ExperimentsIcon },
  { path: "/review", name: "Review", key: "v", icon: ReviewIcon },
  { path: "/nodes", name: "Nodes", key: "n", icon: NodesIcon },
  { path: "/health", name: "Health", key: "h", icon: HealthIcon },
  { path: "/telemetry", name: "Telemetry", key: "t", icon: TelemetryIcon },
  { path: "/settings", name: "Settings", key: "s", icon: SettingsIcon },
];
