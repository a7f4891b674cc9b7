package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// ShiftClock sets the clock of this machine on by d, or back, and then the clock of its board, so that it is right after a boot,
// too. A machine without such a clock is none that fails.
func ShiftClock(d time.Duration) error {
	to := time.Now().Add(d).UTC()
	at := unix.NsecToTimespec(to.UnixNano())
	if err := unix.ClockSettime(unix.CLOCK_REALTIME, &at); err != nil {
		return fmt.Errorf("set the clock to %s UTC: %w", to.Format(time.DateTime), err)
	}
	board, err := os.OpenFile("/dev/rtc0", os.O_WRONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("set the clock of the board: %w", err)
	}
	defer board.Close()
	if err := unix.IoctlSetRTCTime(int(board.Fd()), rtc(time.Now().UTC())); err != nil {
		return fmt.Errorf("set the clock of the board: %w", err)
	}
	return nil
}

// rtc is a time as rtc(4) has it: months count from 0, years from 1900.
func rtc(t time.Time) *unix.RTCTime {
	return &unix.RTCTime{
		Sec: int32(t.Second()), Min: int32(t.Minute()), Hour: int32(t.Hour()),
		Mday: int32(t.Day()), Mon: int32(t.Month()) - 1, Year: int32(t.Year()) - 1900,
	}
}
