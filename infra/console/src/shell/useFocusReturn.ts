// Focus goes back to where it was when a dialog opened: one without a trigger would leave it nowhere.

import { useRef } from "react";

/** For a dialog's `onCloseAutoFocus`. */
export function useFocusReturn(): (event: Event) => void {
  const before = useRef(document.activeElement);
  return (event) => {
    event.preventDefault();
    if (before.current instanceof HTMLElement && before.current.isConnected) before.current.focus();
  };
}
