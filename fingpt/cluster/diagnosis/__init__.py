"""Why a Job does not go on, or how it ended, and what to do."""
