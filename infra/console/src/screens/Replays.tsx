export function Replays() {
  return <h1>Replays</h1>;
}
