"""Every bound of the platform, with its unit in the name and its reason beside it."""

SLOTS = 256  # fixed for ever: a site's slot stands in its devices' topics

# What one message may be
PAYLOAD_BYTES_MAX = 64 * 1024  # broker's max_packet_size as well; a backlog message of 200 samples is ~20 KiB
SAMPLES_PER_MESSAGE_MAX = 500
MEASURES_PER_SAMPLE_MAX = 64  # a three-phase hybrid inverter with 12 strings reports about 50
READING_ABS_MAX = 1e13  # 10 TWh in Wh: nothing that we meter counts further
FUTURE_SKEW_MAX_S = 300  # clocks of cheap loggers wander by minutes; what is later is quarantined
RETENTION_DAYS = 400  # raw samples: a year to compare with, and a month to repair; a message's older ones are refused
HISTORY_DAYS = 11 * 366  # samples from files: a decade of minutes is little, and totals are made of them

# Mosquitto
BROKER_PACKET_HEADROOM_BYTES = 1_024  # fixed header, topic (at most ~150) and MQTT 5 properties around the payload
BROKER_QUEUED_MESSAGES_MAX = 1_000_000  # per offline or slow client; the default of 1,000 drops what it has acked (measured)
BROKER_QUEUED_BYTES_MAX = 1024**3  # the same bound in memory: about a minute of full intake while a shard restarts
BROKER_DEVICES_MAX = 20_000  # connections on the device listener; each is a file descriptor and ~20 KiB with TLS
BROKER_AUTOSAVE_S = 60  # how often it writes sessions and queues; devices keep their data until the platform ack anyway

# How a shard takes messages in
INFLIGHT_MESSAGES_MAX = 4_000  # the broker's window per client: unacked messages that a shard can hold
BATCH_MESSAGES_MAX = 500  # one transaction; more is hardly faster, and the pieces of it that cannot yield hold up asks
BATCH_AGE_MAX_S = 0.05  # a lone message waits this long for company before it is committed
SLICE_MESSAGES_MAX = 32  # decoded between two awaits: about half a millisecond, so that an ask never waits long
SLICE_PUBLISHES_MAX = 8  # live views and acks made and sent between two awaits: as long
COMMIT_TIMEOUT_S = 30.0  # per statement of a batch: a database that vanished without a word, not one that is slow
COMMIT_RETRY_S = (0.1, 0.5, 1.0, 2.0, 5.0)  # while PostgreSQL is away; the last one repeats
DEVICE_MESSAGES_PER_S = 50.0  # sustained, per device; ten times the fastest profile
DEVICE_MESSAGES_BURST = 3_000  # a backlog after an outage comes fast and is welcome
THROTTLE_NOTICE_S = 30.0  # how often an over-eager device is told to slow down
DEAD_LETTERS_PER_DEVICE_PER_MIN = 30  # stored; more are counted only, so a broken device cannot fill the disk
DEAD_LETTER_HEAD_BYTES = 1_024
DEAD_LETTER_KEEP_DAYS = 30
SEQUENCE_MAX = 2**53  # what JSON readers still tell apart, and far below PostgreSQL's bigint
STREAM_CHARS_MAX = 64  # kept per twin
DEVICE_INFO_CHARS_MAX = 200  # model, firmware, boot: kept per twin
SEQUENCE_GAP_MAX = 4_096  # sequence numbers kept beyond a gap; past it the twin forgets and the device sends again

# Twins in memory
TWINS_PER_SHARD_MAX = 200_000  # ~6 KB each: 1.2 GB
TWIN_IDLE_S = 7_200.0  # a night empties most of the fleet
LOAD_BATCH_TWINS = 5_000
SNAPSHOT_PERIOD_S = 10.0
SNAPSHOT_BATCH_TWINS = 200  # in one statement; about a millisecond of the shard

# Feeds and sweeps
ACK_PERIOD_S = 0.5  # platform acks are cumulative: one per device and period is enough
LIVE_PERIOD_S = 1.0
LIVE_SITES_PER_S = 500  # per shard; a larger fleet's feeds get slower, never the intake
SWEEP_PERIOD_S = 5.0
BROKER_LOG_PERIOD_S = 2.0
HOUSEKEEPING_PERIOD_S = 3_600.0  # partitions ahead, retention
RESTART_GRACE_S = 90.0  # after a shard's start nobody is called offline before the fleet had time to speak
ROLLUP_PERIOD_S = 30.0  # the day's totals; live values come by the feed
ROLLUP_REST = 4.0  # times as long as the last round took, while messages wait: at most a fifth of a busy shard
ROLLUP_DAYS_PER_ROUND = 50
ROLLUP_SAMPLES_AT_ONCE = 10_000  # of as many days as they make; a single day may have more: 8,640 each ten-second device
COUNTER_GAP_MAX_DAYS = 62  # across a longer silence a counter's growth cannot honestly be given to days: unknown
PARTITIONS_AHEAD_DAYS = 7

# Asks
ASK_TIMEOUT_S = 5.0
BULK_SAMPLES_MAX = 20_000  # per call through the bulk door
BULK_TIMEOUT_S = 60.0
BULK_AT_ONCE = 2  # blocks of one shard that PostgreSQL stores at a time; more only wait for a core
BULK_REST = 2.0  # times as long as the last block took, while devices speak: a third of a backend at most
BULK_QUIET_MS = 1_000  # without a message for so long, nobody is kept waiting
SSE_QUEUE_EVENTS_MAX = 64  # per browser; a slower one skips to the newest state
SSE_CLIENTS_MAX = 2_000
SSE_CLIENTS_PER_PERSON_MAX = 50  # tabs, wall displays and scripts of one account
SSE_HEARTBEAT_S = 15.0  # below the idle limits of common proxies (60 s)
SSE_RECHECK_S = 30.0  # a revoked session's stream ends within a minute

# What the web takes and gives
REQUEST_BYTES_MAX = 256 * 1024  # the largest body is a form; uploads get their own bound
PAGE_ITEMS = 50
PAGE_ITEMS_MAX = 200
SAMPLES_PER_PAGE_MAX = 2_000
SAMPLE_RANGE_DAYS_MAX = 31
ENERGY_STEPS_MAX = 40_000  # 400 days of quarter-hours; ~4 MB of JSON
WEB_POOL_CONNECTIONS = 8  # requests hold one for milliseconds; never while they wait for a twin
FLEET_STATS_PERIOD_S = 2.0

# People
ACCESS_TOKEN_S = 15 * 60
SESSION_DAYS = 30
SESSIONS_PER_PERSON_MAX = 100  # signed in on many browsers and scripts; the least used are signed out
REFRESH_GRACE_S = 10.0  # two tabs of one browser renew at once; the loser comes with the token before
PASSWORD_CHARS_MIN = 10
PASSWORD_CHARS_MAX = 256  # argon2 reads all of it
PASSWORD_CHECKS_AT_ONCE = 2  # 64 MiB and a core each
PASSWORD_CHECKS_WAITING_MAX = 20  # more is an attack or a storm; they get 503 and come back
LOGIN_WINDOW_S = 900.0
LOGIN_FAILURES_PER_PAIR = 5  # of one account from one address
LOGIN_FAILURES_PER_ACCOUNT = 50  # from anywhere: high, so that a stranger cannot lock somebody out cheaply
LOGIN_FAILURES_PER_ADDRESS = 50  # a whole office may sit behind one
AUTH_REQUESTS_PER_MIN = 120  # per address
ATTEMPT_KEYS_MAX = 50_000  # ~10 MB; the oldest are forgotten first

# Health
SILENT_INTERVALS = 3  # one report lost and one late are no news
SILENT_MIN_S = 60.0  # a reconnect takes that long
FIRST_CONTACT_S = 86_400.0  # from a device's registration to its first word: the installer's day
SUN_WAKES_MIN_DEG = 8.0  # thick cloud then leaves about 25 W/m2: inverters start in the morning, and stop, near that

# Alerts
TOTAL_OUTAGE_AFTER_S = 1_800.0
NEGATIVE_LOAD_AFTER_S = 300.0  # readings of two devices are seconds apart, and a cloud's edge passes within a minute
NEGATIVE_LOAD_CLEAR_S = 86_400.0  # a reversed clamp shows only when enough flows; it does not turn around by itself
ALERT_CLEAR_S = 120.0  # an alert resolves after its finding stayed away for so long
ALERT_CLEAR_MAX_S = 3_600.0  # ... doubled at each return, up to this: what flaps all day tells so at most once an hour
ALERT_RECUR_S = 3_600.0  # a finding that returns sooner than this after its resolution is flapping

# The single machine's launcher
DISK_FREE_MIN_BYTES = 512 * 1024 * 1024  # a new cluster and its first write-ahead log; less is full tomorrow
RESTART_DELAYS_S = (1.0, 2.0, 4.0, 8.0, 16.0)  # a process that keeps ending inside one window is broken: everything stops
RESTART_WINDOW_S = 600.0
DEMO_SITES_MAX = 2_000  # each device is a certificate and a connection; a laptop's broker and simulator carry about 5,000
DEMO_HISTORY_DAYS = 30
DEMO_HISTORY_STEP_S = 300  # the energy model needs quarter-hours; five minutes draw a good curve

# Onboarding
CLAIM_HOURS = 24  # from the code on the screen to the device's request
CLAIM_HOURS_MAX = 14 * 24  # a device prepared in the workshop for next week
CLAIM_WRONG_TRIES_MAX = 10  # typing errors; then the claim is dead and a new one is a tap away
CLAIMS_OPEN_PER_SITE_MAX = 50
EST_REQUEST_BYTES_MAX = 16 * 1024  # a P-256 request in base64 is about 600 bytes, an RSA-4096 one 2,400
EST_REQUESTS_AT_ONCE = 64  # more get 503 and Retry-After; each holds a database connection for milliseconds
EST_REQUESTS_PER_MIN = 600  # per address, of those that fail: a wholesaler's bench sits behind one
EST_POOL_CONNECTIONS = 8
EST_CONNECTIONS_MAX = 1_000  # ~100 KiB each with TLS
EST_HANDSHAKE_S = 10.0  # a device on a bad mobile network needs two or three
EST_REQUEST_S = 10.0  # from the handshake, or the last answer, to a whole request
EST_HEADER_BYTES_MAX = 16 * 1024
ARRAYS_PER_SITE_MAX = 12  # orientations of a roof
WAITING_SOURCES_PER_GATEWAY_MAX = 200  # unknown serials that are remembered; a Modbus line has 247 addresses
WAITING_SOURCE_PERIOD_S = 10.0  # how often one of them is written down again
RAW_PER_MESSAGE_MAX = 200  # third-party messages in one up/telemetry
RAW_TOPIC_CHARS_MAX = 300  # of such a message
RAW_PAYLOAD_BYTES_MAX = 16 * 1024  # of such a message; a Shelly's full status is 3 KiB
RAW_GRID_S = 10.0  # values that come one by one within it become one row
RAW_CLOCKS_SINCE_MS = 1_577_836_800_000  # 2020: a clock that says less was never set, it counts from its own start
LOCAL_NAMES_PER_GATEWAY_MAX = 100  # of which it is remembered in which format they came; a house has a few dozen devices
RAW_NAME_CHARS_MAX = 28  # of a serial that is made of a topic: the gateway's id goes before it
MEMORY_ENTRIES_PER_SENDER_MAX = 500  # what a codec learned of one gateway: a house's meters have a few dozen values
MEMORY_BYTES_PER_SENDER_MAX = 128 * 1024  # ... each about 200 bytes; held with the twin, read anew at each start
SPARKPLUG_METRICS_MAX = 1_000  # in one payload; with their names so many do not fit into a raw message
DISCOVERY_COMPONENTS_MAX = 200  # announced in one message; a hybrid inverter has about 60
TEMPLATE_CHARS_MAX = 300  # of a value template; those that pick a number out of a message have 20 to 80
TEMPLATE_DEPTH_MAX = 8  # brackets within brackets
SENML_NAME_CHARS_MAX = 200  # base name and name together; those of the RFC's examples have 40
SENML_RECORD_BYTES_MAX = 64 * 1024  # of a file; a record of binary data may be long, one of a reading has 60 bytes
SENML_NAMES_MAX = 1_000  # of a file, that are told to be left out
CBOR_FIELDS_MAX = 32  # of one record; SenML has 15
MEMORY_KEY_CHARS_MAX = 340  # a topic, and what it is remembered for
WAITING_WRITE_PERIOD_S = 2.0  # a serial that is new to us is on the installer's screen after this long
WAITING_FORGOTTEN_AFTER_S = 3_600.0  # in memory; the database remembers
WAITING_LETTERS_PER_S = 5.0  # messages kept of one gateway, sustained: ten times what an agent sends
WAITING_LETTERS_BURST = 3_000  # an outage's backlog
WAITING_BYTES_PER_GATEWAY_MAX = 64 * 1024 * 1024  # of what is kept
SERIAL_CHARS_MIN = 3
SERIAL_CHARS_MAX = 40  # GS1 allows 20, makers' longest are about 30
WAITING_LETTERS_PER_GATEWAY_MAX = 50_000  # messages kept for serials that nobody has attached; the oldest go first
WAITING_PLACE_AT_ONCE = 200  # of these messages, read and stored in one piece
FRESH_CODE_S = 900.0  # a code can be shown again for so long, to whoever's answer was lost; then only its hash is left
FRESH_CODES_MAX = 2_000
REPORT_TIMEOUT_S = 20.0  # a report takes a second; a site with 500 devices, three
REPORT_PAGES_AT_ONCE = 2  # each takes a core and up to 200 MB
PROFILE_SITES_AT_ONCE = 8  # twins that are built anew at the same time after a profile has changed
CHECK_RECENT_S = 900.0  # what the commissioning checks judge by: enough for a device that reports once a minute
CHECK_SAMPLES_MAX = 200  # of one device
CHECK_REFUSALS_MAX = 50  # of one device
REPORTS_PER_SITE_AND_DAY_MAX = 20  # each is kept for ever, and mailed
INVITATION_DAYS = 14
MAIL_ATTEMPTS_MAX = 12  # with the waits between them, about two days
MAIL_SUBJECT_CHARS_MAX = 200
MAIL_RETRY_S = (10.0, 60.0, 300.0, 1_800.0, 3_600.0, 4 * 3_600.0)  # the last one repeats
MAIL_TIMEOUT_S = 30.0  # per command of SMTP; greylisting servers take their time
MAIL_GOODBYE_S = 10.0  # a mail that is under way when we are told to stop may still arrive, and be marked as sent
CORRECTIONS_PER_DEVICE_MAX = 50  # in force at once; each cuts its counters' series in two
CORRECTIONS_PERIOD_S = 15.0  # how late one counts that the twins were not told of
CORRECTION_FACTOR_MAX = 1e6  # and its inverse: mW told as kW is the worst that we can think of
CLOCK_CORRECTION_MAX_S = 10 * 366 * 86_400  # a device that woke up at its firmware's birthday
PROFILE_BYTES_MAX = 32 * 1024

# Remote configuration and commands
SETTINGS_PER_DEVICE_MAX = 100  # a hybrid inverter's installer menu has about 60
SETTING_TEXT_CHARS_MAX = 200
CONFIG_LAYERS_MAX = 10  # groups that bear upon one device; more is nobody's overview
CONFIG_VERSION_AHEAD_MAX = 1_000_000  # a device may know more than a database that was restored; beyond this it is garbage
CONFIG_RESEND_S = (5.0, 15.0, 60.0, 300.0, 900.0)  # to a device that is there and says nothing; the last one repeats
CONFIG_REPORTS_PER_H = 60.0  # of one device, that are written down each; of one that flaps, the newest state still is
COMMANDS_OPEN_PER_DEVICE_MAX = 50  # an ops' evening; more waiting for one device is a script that went mad
COMMAND_ARGS_BYTES_MAX = 4 * 1024
COMMAND_EXPIRES_S = 300.0  # unless somebody says otherwise
COMMAND_EXPIRES_MIN_S = 5.0
COMMAND_EXPIRES_MAX_S = 7 * 86_400.0  # a device that comes back on Monday
COMMAND_ANSWER_GRACE_S = 15.0  # an answer that was under way when time ran out
COMMAND_RESEND_S = (5.0, 10.0, 20.0, 30.0)  # to a device that is there and does not answer; after the last it is given up
COMMAND_DETAIL_BYTES_MAX = 16 * 1024  # of a device's answer, that is kept; a log's tail
COMMANDS_KEPT_DAYS = 400
ORDERS_AT_ONCE = 500  # changes and answers in one transaction
ORDERS_TIMEOUT_S = 10.0  # of a piece of a selection: a transaction of so many takes a tenth of it
ORDERS_WAITING_MAX = 5_000  # of asks; beyond it they are refused: try again
ORDERS_ROUND_S = 0.5  # how late a deadline may be noticed
BULK_TARGETS_MAX = 20_000  # devices of one bulk command or rollout
CONFIRM_TARGETS = 20  # a selection of more devices asks for confirmation with the count

# Files
FILE_BYTES_MAX = 4 * 1024**3  # of one file, as sent; ten years of a large site's five-minute rows are 2 GB
FILE_UNPACKED_BYTES_MAX = 8 * 1024**3  # what an archive may grow to
FILE_UNPACK_RATIO_MAX = 200  # text shrinks to a twentieth at the best; beyond this it is a bomb
FILE_UNPACK_RATIO_FREE_BYTES = 1024**2  # ... but a small file of zeros is no danger
ARCHIVE_MEMBERS_MAX = 1_000
ARCHIVE_DIRECTORY_BYTES_MAX = 512 * 1024  # of a zip, held as a whole; 1,000 members take about 120 KiB
ARCHIVE_NAME_CHARS_MAX = 255
GZIP_MEMBERS_MAX = 100_000  # one after another in a file; a logger that appends every minute makes 1,440 a day
FILE_HEAD_BYTES = 16 * 1024  # enough to recognise any format
FILE_CHUNK_BYTES = 256 * 1024  # read and unpacked in one piece
FILE_LINE_CHARS_MAX = 64 * 1024  # 13 inverters side by side with 20 columns each are about 3,000
FILE_CELLS_MAX = 4_096  # of one line
FILE_WHOLE_BYTES_MAX = 32 * 1024**2  # of a format that cannot be read in pieces (JSON, CBOR)
FILE_ROWS_PER_BLOCK = 16_384  # of one device; what is held of each at a time, and stored in one transaction
FILE_CELLS_GATHERED_MAX = 400_000  # of all devices together: ~15 MB of numbers
FILE_SERIALS_MAX = 500  # devices in one file
LOCAL_DAYS_KNOWN_MAX = 20_000  # of one time zone, with their offset: half a century, 2 MB
FILE_POINTS_HELD_MAX = 200_000  # of load curves whose step or stamp their end decides: a decade of half-hours, 25 MB
REGISTER_VALUES_HELD_MAX = 100_000  # by tariff, until they are summed up: three meters with a decade of days each; 30 MB
WIDE_COLUMNS_MAX = 500  # that one declaration of a format may name
WIDE_HOLES_MAX = 30  # ... of these, that stand for several columns each
WIDE_TEXT_CHARS_MAX = 200  # of a heading that it names
HEADING_LINES_MAX = 200  # above which nobody writes before the headings; a file without any is given up there
GUESS_LINES_MAX = 400  # of an unknown file, to guess from: more than a day of five minutes
RESPELLED_LINES_MAX = (
    60  # of a file that went through a spreadsheet, to know it by: more than any format's recogniser looks at
)
DATE_TEXTS_KNOWN_MAX = 100_000  # dates, and times of a day, of one file that are not parsed again; a day has 86,400 s
FILE_DATES_COMPARED_MAX = 4_000  # different dates of one file, to tell day from month; a decade
READER_ATTEMPTS_MAX = 3  # a file that ends its reader this often is not tried again by itself
READER_SILENT_S = 60.0  # without having got any further: it hangs
READER_DATA_BYTES_MAX = 512 * 1024**2  # the reader's heap; it needs about 100 MB
READER_PROGRESS_S = 1.0
SPOOL_BYTES_MAX = 8 * 1024**3  # of one file that was read: 16 bytes a row, 8 a value; the largest file of numbers makes 6 GB
SPOOL_DAYS_MAX = 250_000  # of one file, all its devices together: sixty with eleven years each
IMPORT_DISK_FREE_MIN_BYTES = 256 * 1024**2  # less than the drop box leaves: what it has taken in must find its way out
IMPORT_REST_S = 60.0  # of a file that could not be worked at, so that the others have their turn
DEFINITIONS_PER_LOGGER_MAX = 300  # the newest; one per device, and per version of its firmware
DEFINITIONS_BYTES_MAX = 8 * 1024**2  # ... of one logger together: held by the importer while a file of it is read
SMALL_FILE_BYTES = 2 * 1024**2  # read in a lane of their own, past whoever loads ten years
IMPORT_SCAN_S = 2.0  # how often the drop box, and what waits for a device or a format, is looked at
IMPORT_CHORES_S = 30.0  # loggers that fail or are silent, originals to let go
IMPORT_BLOCKS_AT_ONCE = 2  # of one file on their way to the twins
IMPORT_RETRY_S = (1.0, 2.0, 5.0, 15.0)  # while twins or database are away; the last one repeats
ORIGINALS_KEEP_DAYS = 90  # a fault of a format is found within a season
ORIGINALS_FREE_BYTES_MIN = 2 * 1024**3  # with less left of the disk they go sooner: before uploads are refused
FILES_KEEP_DAYS = 400  # that a file came, and what became of it: a year to compare with; its samples stay
REFUSED_FILES_KEPT_MAX = 500  # of one logger, whose refused lines are kept: three days of one every ten minutes
WAITING_SERIALS_PER_SITE_MAX = 100_000  # of files that are read again by themselves: a hundred inverters in a thousand files
SAMPLE_REVISIONS_MAX = 10  # of one row, that are remembered: a curve is put right once or twice
LOGGER_FAILURES_MAX = 3  # files in a row of which nothing could be read, before its keeper is told
REFUSED_LINES_KEPT_MAX = 1_000  # of one file, with their text; more are counted
REFUSED_TEXT_CHARS_MAX = 200
WEBDYN_DEFINITION_BYTES_MAX = 1024**2  # a definition of 1,000 variables is 80 KiB
WEBDYN_DAYS_KNOWN_MAX = 4_000  # whose midnight is remembered while a file is read: eleven years
WEBDYN_VARIABLES_MAX = 2_000  # of one device; a Modbus map that is logged whole has some 300
SOLAR_LOG_PLANT_BYTES_MAX = 256 * 1024  # base_vars.js; 100 inverters with named strings are 40 KiB
SOLAR_LOG_STRINGS_MAX = 50  # of one inverter
SOLAR_LOG_DAYS_KNOWN_MAX = 4_000  # whose midnight is remembered while a file is read
FRONIUS_BYTES_MAX = 6 * 1024**2  # of a push, whose numbers take twenty times as much; a day of 20 inverters is 1.5 MB
INTERVAL_MAX_S = 25 * 3_600  # the longest interval that energy is told of: the day on which summer time ends
UPLOAD_FORM_BYTES_MAX = 32 * 1024**2  # files in a plain form, for browsers without scripts; larger ones come by themselves
UPLOAD_FORM_S = 600.0  # for all of it to come: 55 kB/s
UPLOAD_FILES_PER_FORM_MAX = 50
UPLOADS_PER_MIN = 120  # of one person: a folder of daily files dropped at once
UPLOADS_AT_ONCE_PER_PERSON = 4
UPLOADS_AT_ONCE = 16  # of all people; each writes to the disk
UPLOAD_BYTES_PER_DAY_MAX = 32 * 1024**3  # of one person: several years of several large sites
UPLOAD_IDLE_S = 60.0  # without a byte: a phone that has changed cells comes back sooner, or not at all
UPLOAD_SLOW_BYTES = 64 * 1024  # at least, in that time: one that only drips holds the place of somebody else
UPLOAD_FREE_BYTES_MIN = 512 * 1024**2  # what an upload leaves free: the database may live on the same disk
UPLOAD_PIECE_BYTES = 1024**2  # written and hashed at a time
FILE_NAME_CHARS_MAX = 200
PREVIEW_BYTES = 2 * 1024**2  # of a file whose format is being described: some days of five-minute rows
PREVIEW_TIMEOUT_S = 10.0  # reading that takes half a second
PREVIEWS_PER_MIN = 40  # of one person, who corrects and looks again; each takes a second of a core at the worst
PREVIEWS_AT_ONCE = 2  # each takes a core
PREVIEW_ARCHIVE_BYTES_MAX = (
    64 * 1024**2
)  # an archive's directory stands at its end: larger ones are unpacked by whoever asks
PREVIEW_DAYS = 3  # of the curve that is shown
PREVIEW_POINTS_MIN = 20  # fewer in these days, and more days are shown
PREVIEW_POINTS_MAX = 1_000  # of one curve; more are not told apart on a screen
PREVIEW_REFUSALS_MAX = 20
COMPANY_FORMATS_MAX = 200  # of one company
COMPANY_FORMATS_BYTES_MAX = 2 * 1024**2  # ... all together, as JSON: held while each of its files is read; one has some 2 KB

# The drop box (SFTP), and fetching from customers' own servers
SSH_KEY_LINE_CHARS_MAX = 4_000  # RSA with 16,384 bits is 2,800
SSH_RSA_BITS_MIN = 2_048
SSH_RSA_BITS_MAX = 8_192  # a larger one costs the server's core more than it can protect
DROP_ACCOUNTS_PER_SITE_MAX = 50
DROP_KEYS_PER_ACCOUNT_MAX = 10  # each is tried at a log-in
DROP_EXPECTED_EVERY_S_MIN = 3_600
DROP_EXPECTED_EVERY_S_MAX = 400 * 86_400
DROP_CREDENTIAL_POLL_S = 5.0  # how long a live session may outlive its account, key or password
DROP_CREDENTIAL_KEPT_S = 300.0  # while the database is away, whoever was known until then may still send
DROP_CREDENTIALS_KEPT_MAX = 10_000
DROP_BYTES_MAX = 2 * FILE_BYTES_MAX  # of one logger: the largest file, and its next version while that is being sent
DROP_FILES_MAX = 10_000  # of one logger: two months of one every ten minutes
DROP_LISTED_BYTES_MAX = DROP_BYTES_MAX // 4  # of these, what was read already and is only kept for its sender to see
DROP_LISTED_FILES_MAX = DROP_FILES_MAX // 4
DROP_LISTED_S = 2 * 86_400.0  # a day's file is appended to all day, and once more after midnight
DROP_CUT_KEPT_S = 86_400.0  # a logger that was cut off tries again the next day at the latest
DROP_CLOSED_REST_S = 3_600.0  # closed under a temporary name and not renamed: nobody will
DROP_TIDY_S = 600.0
DROP_APPEND_BYTES_MAX = 64 * 1024**2  # a received file that is gone on with is copied first
DROP_AHEAD_BYTES_MAX = 4 * 1024**2  # of pieces that overtook others, per file: some clients send 64 of 32 KiB at once
DROP_AHEAD_PIECES_MAX = 1_000  # ... however small: each costs ten times its least size
DROP_AHEAD_ALL_BYTES_MAX = 64 * 1024**2  # ... of all files together
DROP_UPLOADS_BURST = 5_000  # a logger that was a week without a network
DROP_UPLOADS_PER_S = 1.0  # sustained, per logger; every ten minutes is usual
DROP_HANDLES_MAX = 32  # open files of one logger, all its connections together
DROP_LISTINGS_MAX = 4  # open folders of one connection, each with a list of what is in it
DROP_CHANNELS_MAX = 4  # of one connection
DROP_COMMAND_CHARS_MAX = 2_048  # of scp: its options, and a path
DROP_REQUEST_BYTES_MAX = 64 * 1024  # of SFTP, but for what is written: two paths
DROP_WRITE_BYTES_MAX = 4 * 1024**2  # of one write request; it goes to the disk in pieces
DROP_WRITE_BYTES_ADVISED = 255 * 1024  # what OpenSSH takes for itself
DROP_PIECE_BYTES = 256 * 1024
DROP_WINDOW_BYTES = 512 * 1024  # under way per channel: 2.5 MB/s on a line of 200 ms
DROP_DISK_FREE_MIN_BYTES = 512 * 1024**2  # the disk is not ours alone
DROP_DISK_THREADS = 16  # waiting for fsync, most of the time
DROP_DISK_TURNS = 4  # of these, for one logger: nobody keeps the others from the disk
DROP_CONNECTIONS_MAX = 1_000  # ~200 KiB each
DROP_CONNECTIONS_PER_ADDRESS_MAX = 400  # a mobile network's loggers share one address
DROP_CONNECTIONS_PER_ACCOUNT_MAX = 8
DROP_LOGGING_IN_MAX = 500  # connections that have not said yet who they are
DROP_LOGIN_S = 45.0  # a logger with a small processor, on a bad line
DROP_PASSWORD_TRIES_PER_CONNECTION = 6
DROP_FAILURES_PER_PAIR = 20  # of one account from one address: a logger with an old password tries day and night
DROP_FAILURES_PER_ADDRESS = 200  # a mobile network's loggers share one address
DROP_FAILURES_PER_ACCOUNT = 500  # high: a stranger must not be able to lock a logger out
DROP_IDLE_S = 900.0  # without a request
DROP_KEEPALIVE_S = 30.0  # three unanswered: the line is dead, and its file can be resumed by a new one
DROP_GOODBYE_S = 10.0  # what is being closed when we are told to stop may still be answered
PULL_SOURCES_PER_SITE_MAX = 20
PULL_EVERY_S_MIN = 300  # customers' servers are not ours to hammer
PULL_EVERY_S_MAX = 7 * 86_400
PULL_SECRET_CHARS_MAX = 256  # of a password
PULL_ASKED_PER_MIN = 20  # of one person: keys looked at, servers added, fetches asked for, on servers that we are pointed to
PULL_CONNECT_S = 20.0  # to reach a customer's server, and again to log in
PULL_LOOK_S = 10.0  # how late "fetch now" may be
PULLS_AT_ONCE = 8  # servers; each is waited for, most of the time
PULLS_OF_COMPANY_MAX = 2  # ... of one company: servers that only pretend to answer keep nobody else's waiting
PULL_WAIT_S = 60.0  # for an answer, or a piece of a file: less than 5 kB/s is no line
PULL_LIST_S = 120.0  # for a folder
PULL_LEASE_S = 3_600.0  # a visit that was begun and not ended by anybody is begun again
PULL_VISIT_S = 1_800.0  # of one server, and the rest the next time
PULL_FILES_MAX = 500  # taken in one visit
PULL_BYTES_MAX = 2 * FILE_BYTES_MAX
PULL_LISTED_MAX = 20_000  # names in a folder that are looked at
PULL_WAITING_FILES_MAX = 2_000  # of one logger, fetched and not yet read
PULL_WAITING_BYTES_MAX = 2 * FILE_BYTES_MAX
PULL_PIECE_BYTES = 256 * 1024
PULL_AGAIN_S = 60.0  # after a visit that left something for the next one
PULL_RETRY_MAX_S = 86_400.0  # a server that is gone for good costs one try a day
PULL_REMEMBERED_DAYS = 30  # after a file was taken and is no longer there
PULL_REMEMBERED_MAX = 100_000  # of one server; with more of them, those that are no longer there are forgotten at once

# Certificates
CRL_PERIOD_S = 3_600.0  # signed anew also when nothing changed
CRL_LIFE_S = 72 * 3_600.0  # an expired list shuts everybody out: a long weekend without the authority is survived
CRL_ALARM_BEFORE_S = 24 * 3_600.0  # a list that is not renewed is told so long before it ends
CRL_BYTES_MAX = 16 * 1024 * 1024  # ~400,000 entries
CANARY_PERIOD_S = 30.0  # how long the broker may be open to a revoked certificate before somebody notices
GUARD_RETRY_S = (0.2, 0.5, 1.0, 2.0, 5.0, 15.0)  # a step of a revocation that did not work; the last one repeats
AUTHORITY_WAIT_S = 10.0  # from a request to a signed list; one takes a second, whoever is away longer than this is told of
GUARD_KICKS_AT_ONCE = 8  # handshakes on the internal listener
GUARD_PROBE_TIMEOUT_S = 3.0  # a handshake and a CONNECT on an overloaded broker
