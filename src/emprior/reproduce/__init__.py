"""The experiments of Chen & Stanley: data, trainings, measurements, records."""
