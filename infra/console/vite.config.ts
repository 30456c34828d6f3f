import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

// In development the pages come from Vite, and the API from a running gateway.
const gateway = process.env.UNDERSTUDY_GATEWAY ?? "http://127.0.0.1:8787";
const proxied = Object.fromEntries(
  ["/api", "/generate", "/problems", "/openapi.json", "/livez", "/readyz", "/v1"].map((path) => [
    path,
    { target: gateway, changeOrigin: true },
  ]),
);

export default defineConfig({
  plugins: [react()],
  build: {
    outDir: "static",
    emptyOutDir: true,
    // The wheel carries no source maps.
    sourcemap: false,
    // Six kilobytes in one file: every screen looks the same whichever was opened before.
    cssCodeSplit: false,
    target: "es2022",
    chunkSizeWarningLimit: 700,
    // Fonts and pictures stay files: the page's policy allows no `data:` fonts.
    assetsInlineLimit: 0,
  },
  server: { host: "127.0.0.1", proxy: proxied },
});
