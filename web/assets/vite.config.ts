import { copyFileSync, mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { defineConfig, type Plugin } from "vite";
import { franceMap } from "./france-map.ts";

const here = dirname(fileURLToPath(import.meta.url));
const built = join(here, "../static/built");

// The API's doc pages load these by their plain names, from this host.
const docPages = {
  "scalar.js": "@scalar/api-reference/dist/browser/standalone.js",
  "swagger-ui-bundle.js": "swagger-ui-dist/swagger-ui-bundle.js",
  "swagger-ui.css": "swagger-ui-dist/swagger-ui.css",
};

function copyDocPages(): Plugin {
  return {
    name: "copy-doc-pages",
    apply: "build",
    closeBundle() {
      mkdirSync(join(built, "docs"), { recursive: true });
      for (const [name, source] of Object.entries(docPages)) {
        copyFileSync(join(here, "node_modules", source), join(built, "docs", name));
      }
    },
  };
}

export default defineConfig({
  base: "/static/built/",
  plugins: [copyDocPages(), franceMap()],
  build: {
    outDir: built,
    copyPublicDir: false,
    emptyOutDir: true,
    manifest: "manifest.json",
    target: ["chrome123", "firefox128", "safari17.5"], // light-dark() and nesting go through untouched
    assetsInlineLimit: 0, // fonts and images stay files: the policy allows no data: font
    chunkSizeWarningLimit: 900,
    rolldownOptions: { input: join(here, "src/main.ts"), checks: { eval: false } }, // htmx's eval stays switched off: see main.ts,
  },
  test: { include: ["test/**/*.test.ts"], environment: "node" },
});
