/** Reads QR codes and bar codes from pictures: with the browser's own reader where there is one, else with ZXing. */

export interface Reader {
  /** The text of a code in the picture; null when there is none. */
  read(picture: ImageBitmapSource & CanvasImageSource): Promise<string | null>;
}

interface Detector {
  detect(picture: ImageBitmapSource): Promise<{ rawValue: string }[]>;
}

type DetectorClass = {
  new (options: { formats: string[] }): Detector;
  getSupportedFormats(): Promise<string[]>;
};

const FORMATS = ["qr_code", "data_matrix", "code_128", "code_39", "code_93", "ean_13", "itf", "aztec"];

export async function reader(): Promise<Reader> {
  const Native = (globalThis as { BarcodeDetector?: DetectorClass }).BarcodeDetector;
  if (Native !== undefined) {
    const known = await Native.getSupportedFormats().catch((): string[] => []);
    const formats = FORMATS.filter((format) => known.includes(format));
    if (formats.includes("qr_code")) {
      const detector = new Native({ formats });
      return { read: async (picture) => (await detector.detect(picture))[0]?.rawValue ?? null };
    }
  }
  const { zxingReader } = await import("./scanning-zxing");
  return zxingReader();
}
