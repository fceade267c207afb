/** The reader for browsers without one of their own; loaded only there. */

import {
  BarcodeFormat,
  BinaryBitmap,
  DataMatrixReader,
  DecodeHintType,
  HybridBinarizer,
  MultiFormatOneDReader,
  QRCodeReader,
  RGBLuminanceSource,
  type Reader as ZxingReader,
} from "@zxing/library";
import type { Reader } from "./scanning";

const SIDE_MAX_PX = 1_000; // a picture of a phone has many more, and reading takes as many times longer

const HINTS = new Map<DecodeHintType, unknown>([
  [DecodeHintType.TRY_HARDER, true],
  [
    DecodeHintType.POSSIBLE_FORMATS,
    [
      BarcodeFormat.CODE_128,
      BarcodeFormat.CODE_39,
      BarcodeFormat.CODE_93,
      BarcodeFormat.EAN_13,
      BarcodeFormat.ITF,
      BarcodeFormat.QR_CODE,
      BarcodeFormat.DATA_MATRIX,
    ],
  ],
]);

export function zxingReader(): Reader {
  // One by one: the library's own reader of everything writes a warning to the console for each that finds nothing.
  const readers: ZxingReader[] = [new QRCodeReader(), new DataMatrixReader(), new MultiFormatOneDReader(HINTS)];
  const canvas = document.createElement("canvas");
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  return {
    read: async (picture) => {
      const [width, height] = size(picture);
      if (pen === null || width === 0 || height === 0) return null;
      const scale = Math.min(1, SIDE_MAX_PX / Math.max(width, height));
      canvas.width = Math.round(width * scale);
      canvas.height = Math.round(height * scale);
      pen.drawImage(picture, 0, 0, canvas.width, canvas.height);
      return decoded(readers, pen.getImageData(0, 0, canvas.width, canvas.height));
    },
  };
}

function decoded(readers: ZxingReader[], image: ImageData): string | null {
  const source = new RGBLuminanceSource(luminances(image), image.width, image.height);
  const bitmap = new BinaryBitmap(new HybridBinarizer(source));
  for (const reader of readers) {
    try {
      return reader.decode(bitmap, HINTS).getText();
    } catch {
      reader.reset(); // not of this kind, or cut off or blurred: the next picture may do
    }
  }
  return null;
}

/** ITU-R BT.601. */
function luminances({ data }: ImageData): Uint8ClampedArray {
  const grey = new Uint8ClampedArray(data.length / 4);
  for (let index = 0; index < grey.length; index += 1) {
    const at = index * 4;
    grey[index] = 0.299 * (data[at] ?? 0) + 0.587 * (data[at + 1] ?? 0) + 0.114 * (data[at + 2] ?? 0);
  }
  return grey;
}

function size(picture: CanvasImageSource): [number, number] {
  if (picture instanceof HTMLVideoElement) return [picture.videoWidth, picture.videoHeight];
  if (picture instanceof ImageBitmap) return [picture.width, picture.height];
  return [0, 0];
}
