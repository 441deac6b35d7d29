import ij.CompositeImage;
import ij.ImagePlus;
import ij.io.Opener;
import ij.measure.Calibration;
import ij.process.LUT;

/** Prints what ImageJ makes of a map of several stains: its size, that of a pixel, and of every plane. */
public class Look {
    public static void main(String[] path) {
        ImagePlus image = new Opener().openImage(path[0]);
        int channels = image.getNChannels();
        System.out.printf("%d %d %d %d %d%n", image.getWidth(), image.getHeight(), channels,
            image.getNSlices(), image.getNFrames());
        Calibration size = image.getCalibration();
        System.out.println(size.pixelWidth + " " + size.pixelHeight + " " + size.getUnits());
        for (int channel = 1; channel <= channels; channel++) {
            int plane = image.getStackIndex(channel, 1, 1);
            LUT shown = ((CompositeImage) image).getChannelLut(channel);
            System.out.println(image.getStack().getSliceLabel(plane));
            System.out.println(shown.min + " " + shown.max + " "
                + image.getStack().getProcessor(plane).getf(2, 1));
        }
    }
}
