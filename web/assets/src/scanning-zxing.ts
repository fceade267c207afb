/** The reader for browsers without one of their own; loaded only there. */

import {
  BarcodeFormat,
  BinaryBitmap,
  DecodeHintType,
  HybridBinarizer,
  MultiFormatReader,
  NotFoundException,
  RGBLuminanceSource,
} from "@zxing/library";
import type { Reader } from "./scanning";

const SIDE_MAX_PX = 1_000; // a picture of a phone has many more, and reading takes as many times longer

export function zxingReader(): Reader {
  const decoder = new MultiFormatReader();
  decoder.setHints(
    new Map<DecodeHintType, unknown>([
      [DecodeHintType.TRY_HARDER, true],
      [
        DecodeHintType.POSSIBLE_FORMATS,
        [
          BarcodeFormat.QR_CODE,
          BarcodeFormat.DATA_MATRIX,
          BarcodeFormat.CODE_128,
          BarcodeFormat.CODE_39,
          BarcodeFormat.CODE_93,
          BarcodeFormat.EAN_13,
          BarcodeFormat.ITF,
        ],
      ],
    ]),
  );
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
      return decoded(decoder, pen.getImageData(0, 0, canvas.width, canvas.height));
    },
  };
}

function decoded(decoder: MultiFormatReader, image: ImageData): string | null {
  const source = new RGBLuminanceSource(luminances(image), image.width, image.height);
  try {
    return decoder.decodeWithState(new BinaryBitmap(new HybridBinarizer(source))).getText();
  } catch (error) {
    if (error instanceof NotFoundException) return null;
    return null; // a code that is cut off or blurred: the next picture may do
  }
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
